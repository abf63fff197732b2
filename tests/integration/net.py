#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Traffic for the tests beside it.

net.py serve NAME       answer on TCP port 80 and UDP port 53 with NAME and the client's address
net.py ask ADDRESS      ask a server by UDP, and print the answers
net.py unreachable ADDRESS
                        ask where nobody listens, and print who says so
net.py flow ADDRESS     ask the same way again and again until SIGTERM; tell how many were lost
net.py knock ADDRESS    send datagrams, each from another port, until SIGTERM
net.py sink             print each datagram that comes to UDP port 54
net.py raw DEVICE GATEWAY-MAC SOURCE DESTINATION
                        send frames by hand; --what says which
net.py capture DEVICE ADDRESS
                        print each frame from the address: protocol, port, length
net.py tap DEVICE NETNS INSIDE
                        join a tap in this namespace and one in another
net.py sock HOW ADDRESS ask by one socket: print who answers, who the other end is by
                        getpeername() or recvfrom(), and who it really is
net.py hold ADDRESS     keep sockets that ask; again with each SIGUSR1; tell when one is ended
net.py bind ADDRESS     bind to it, and tell how it went
net.py decap DEVICE     take packets out of outer ones (IPIP, IP6IP6, GUE) that come to this
                        namespace, and put them into a tun: what a back end's tunnel device does
net.py offload DEVICE FEATURE=0|1,...
                        of tx, tso, gso, gro
net.py xdp DEVICE       attach an XDP program that lets everything pass, until SIGTERM

--cgroup DIR --uid N    first go into a cgroup, and become a user
"""
import argparse
import ctypes
import fcntl
import http.server
import os
import select
import signal
import socket
import socketserver
import struct
import sys
import threading
import time


def family_of(address):
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def plain(address):
    return address.replace("::ffff:", "").split("%")[0]


def enter_netns(path):
    libc = ctypes.CDLL(None, use_errno=True)
    with open(path, "rb") as netns:
        if libc.setns(netns.fileno(), 0x40000000):
            raise OSError(ctypes.get_errno(), "setns")


# ---- serve --------------------------------------------------------------------

class Handler(http.server.BaseHTTPRequestHandler):
    """/ tells who serves and who asks, /N sends N bytes, /endless does not stop."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def endless(self):
        self.send_response(200)
        self.end_headers()
        try:
            while True:
                self.wfile.write(b"x" * 65536)
        except OSError:
            self.close_connection = True

    def do_GET(self):
        if self.path == "/endless":
            self.endless()
            return
        if self.path == "/":
            body = f"{self.server.name} {plain(self.client_address[0])}\n".encode()
        else:
            body = b"x" * int(self.path[1:])
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_PUT(self):
        left = int(self.headers["Content-Length"])
        got = 0
        while left > got:
            got += len(self.rfile.read(min(65536, left - got)))
        body = f"{got}\n".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_arguments):
        pass


class Server(http.server.ThreadingHTTPServer):
    address_family = socket.AF_INET6
    daemon_threads = True

    def __init__(self, name, port):
        self.name = name
        super().__init__(("::", port), Handler)

    def server_bind(self):
        socketserver.TCPServer.server_bind(self)  # without looking up names
        self.server_name, self.server_port = self.name, 0


def serve_udp(name, sock):
    """Answer each datagram with as long a one, from the address that it came to."""
    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
    while True:
        data, control, _, client = sock.recvmsg(65535, 256)
        # From the address only: where it came in may be no way back.
        if not client[0].startswith("fe80:"):
            control = [(level, kind, value[:16] + bytes(4)) for level, kind, value in control]
        text = f"{name} {plain(client[0])}"
        try:
            sock.sendmsg([text.encode().ljust(len(data))], control, 0, client)
        except OSError as e:
            print(f"cannot answer {client}: {e}", flush=True)


def serve(arguments):
    web = Server(arguments.name, arguments.tcp)
    udp = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    udp.bind(("::", arguments.udp))
    threading.Thread(target=serve_udp, args=(arguments.name, udp), daemon=True).start()
    print("ready", flush=True)
    web.serve_forever()


# ---- ask ----------------------------------------------------------------------

def ask(arguments):
    for i in range(arguments.count):
        with socket.socket(family_of(arguments.address), socket.SOCK_DGRAM) as sock:
            sock.settimeout(arguments.timeout)
            sock.bind(("", arguments.source_port + i * arguments.step))
            sock.connect((arguments.address, arguments.port))
            sock.send(b"?" * arguments.size)
            try:
                answer = sock.recv(65535)
            except socket.timeout:
                sys.exit("no answer")
            except OSError as e:
                sys.exit(e.strerror)
            if len(answer) != arguments.size:
                sys.exit(f"{len(answer)} bytes came back")
            print(answer.decode().strip(), flush=True)


IP_RECVERR, IPV6_RECVERR = 11, 25


def unreachable(arguments):
    """Ask where nobody listens: print who says so, and about which address."""
    family = family_of(arguments.address)
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        if family == socket.AF_INET:
            sock.setsockopt(socket.IPPROTO_IP, IP_RECVERR, 1)
        else:
            sock.setsockopt(socket.IPPROTO_IPV6, IPV6_RECVERR, 1)
        sock.sendto(b"?", (arguments.address, arguments.port))
        poll = select.poll()
        poll.register(sock, 0)
        if not poll.poll(arguments.timeout * 1000):
            sys.exit("no error came")
        _, control, _, about = sock.recvmsg(2048, 512, socket.MSG_ERRQUEUE)
        error = control[0][2]
        # struct sock_extended_err, then the offender's socket address
        at = 16 + (4 if family == socket.AF_INET else 8)
        length = 4 if family == socket.AF_INET else 16
        offender = socket.inet_ntop(family, error[at:at + length])
        print(os.strerror(struct.unpack("=I", error[:4])[0]), "by", offender, "about", about[0])


# ---- flow, knock, sink --------------------------------------------------------

def until_terminated():
    """True until somebody sends SIGTERM."""
    state = []
    signal.signal(signal.SIGTERM, lambda *_: state.append(1))
    while not state:
        yield True


def flow(arguments):
    lost = sent = 0
    with socket.socket(family_of(arguments.address), socket.SOCK_DGRAM) as sock:
        sock.settimeout(arguments.timeout)
        sock.connect((arguments.address, arguments.port))
        for _ in until_terminated():
            sock.send(b"?" * arguments.size)
            sent += 1
            try:
                sock.recv(65535)
            except socket.timeout:
                lost += 1
            if sent == 1:
                print("ready", flush=True)
    print(f"lost {lost}", flush=True)
    print(f"sent {sent}", flush=True)


def knock(arguments):
    sent = 0
    for _ in until_terminated():
        with socket.socket(family_of(arguments.address), socket.SOCK_DGRAM) as sock:
            sock.sendto(b"?", (arguments.address, arguments.port))
        sent += 1
        if sent == 1:
            print("ready", flush=True)
        time.sleep(arguments.interval)
    print(f"sent {sent}", flush=True)


def sink(arguments):
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
        sock.bind(("::", arguments.port))
        print("ready", flush=True)
        while True:
            data, sender = sock.recvfrom(65535)
            print(f"{plain(sender[0])} {len(data)}", flush=True)


# ---- frames by hand -------------------------------------------------------------

ETH_P_ALL, ETH_P_IP, ETH_P_IPV6 = 3, 0x0800, 0x86DD
TCP, UDP = socket.IPPROTO_TCP, socket.IPPROTO_UDP


def checksum(data):
    data += bytes(len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def transport(arguments, proto, port):
    """A SYN or a datagram of 12 bytes, with its checksum."""
    if proto == TCP:
        head = struct.pack("!HHIIBBHHH", arguments.source_port, port, 1, 0, 0x60, 2, 8192, 0, 0)
        head += bytes((2, 4, 5, 0xB4))
        at = 16
    else:
        head = struct.pack("!HHHH", arguments.source_port, port, 20, 0) + b"by hand, yes"
        at = 6
    family = family_of(arguments.source)
    pseudo = (socket.inet_pton(family, arguments.source)
              + socket.inet_pton(family, arguments.destination)
              + struct.pack("!II", len(head), proto))
    return head[:at] + struct.pack("!H", checksum(pseudo + head)) + head[at + 2:]


def ipv4(arguments, proto, payload, ident=1, fragment=0x4000, options=b""):
    words = 5 + len(options) // 4
    head = struct.pack("!BBHHHBBH4s4s", 0x40 | words, 0, words * 4 + len(payload), ident, fragment,
                       64, proto, 0, socket.inet_aton(arguments.source),
                       socket.inet_aton(arguments.destination)) + options
    return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + payload


def ipv6(arguments, proto, payload):
    return struct.pack("!IHBB16s16s", 0x60000000, len(payload), proto, 64,
                       socket.inet_pton(socket.AF_INET6, arguments.source),
                       socket.inet_pton(socket.AF_INET6, arguments.destination)) + payload


def packet(arguments, proto, port=None):
    make = ipv6 if ":" in arguments.source else ipv4
    return make(arguments, proto, transport(arguments, proto, port or arguments.port))


def mutants(whole, tcp_at):
    """Lengths that lie, at each place that holds one."""
    for at in {0, 2, 3, 4, 5, 6, 7, 9, tcp_at + 12}:
        for value in (0, 0x0F, 0x41, 0x44, 0x4F, 0x60, 0x80, 0xF0, 0xFF):
            yield whole[:at] + bytes((value,)) + whole[at + 1:]


def overlapping(arguments):
    """A datagram to --allowed whose later fragments would make it one to --port."""
    good, bad = (transport(arguments, UDP, port) for port in (arguments.allowed, arguments.port))
    for ident, second in enumerate((0, 1), 100):
        yield ipv4(arguments, UDP, good[:16], ident, 0x2000)
        yield ipv4(arguments, UDP, bad[second * 8:], ident, second)
        yield ipv4(arguments, UDP, bad[:16], ident, 0x2000)
        yield ipv4(arguments, UDP, good[16:], ident, 2)
    # A later one first, and one that is too short for the ports.
    yield ipv4(arguments, UDP, bad[8:], 200, 1)
    yield ipv4(arguments, UDP, bad[:8], 200, 0x2000)
    yield ipv4(arguments, TCP, transport(arguments, TCP, arguments.port)[:8], 201, 0x2000)
    yield ipv4(arguments, TCP, transport(arguments, TCP, arguments.port)[8:], 201, 1)


def frames(arguments):
    """The layer 3 packets, or whole frames, that --what asks for."""
    six = ":" in arguments.source
    syn = packet(arguments, TCP)
    if arguments.what in ("udp", "tcp"):
        yield packet(arguments, TCP if arguments.what == "tcp" else UDP)
    elif arguments.what == "truncated":
        for length in range(len(syn)):
            yield syn[:length]
    elif arguments.what == "mutants":
        yield from mutants(syn, 40 if six else 20)
    elif arguments.what == "overlapping":
        yield from overlapping(arguments)
    elif arguments.what == "chains" and six:
        for kind in (0, 43, 60, 44, 51, 135, 139, 50, 59):
            for count in (1, 2, 9):
                last = transport(arguments, TCP, arguments.port)
                chain = last
                following = TCP
                for _ in range(count):
                    chain = bytes((following, 0)) + bytes(6) + chain
                    following = kind
                whole = ipv6(arguments, following, chain)
                yield whole
                for cut in range(1, len(chain), 5):
                    yield whole[:-cut]
    elif arguments.what == "chains":
        for options in (b"\1" * 4, b"\x83\x07\x04\1\2\3\4\0", b"\x44\xff\5\0", b"\1" * 40):
            yield ipv4(arguments, TCP, transport(arguments, TCP, arguments.port), options=options)
    else:
        sys.exit(f"no frames called {arguments.what}")


def own_mac(device):
    """SIOCGIFHWADDR."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        return fcntl.ioctl(sock, 0x8927, struct.pack("256s", device.encode()))[18:24]


def mac_bytes(text):
    return bytes.fromhex(text.replace(":", ""))


def raw(arguments):
    source = mac_bytes(arguments.source_mac) or own_mac(arguments.device)
    ethertype = struct.pack("!H", ETH_P_IPV6 if ":" in arguments.source else ETH_P_IP)
    sent = 0
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as sock:
        sock.bind((arguments.device, 0))
        for data in frames(arguments):
            sock.send(mac_bytes(arguments.gateway_mac) + source + ethertype + data)
            sent += 1
    print(sent)


def capture(arguments):
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL)) as sock:
        sock.bind((arguments.device, ETH_P_ALL))
        print("ready", flush=True)
        while True:
            frame, where = sock.recvfrom(65536)
            if where[2] == socket.PACKET_OUTGOING:
                continue
            address = socket.inet_pton(family_of(arguments.address), arguments.address)
            six = len(address) == 16
            ethertype = struct.unpack("!H", frame[12:14])[0]
            if (ethertype, frame[22 if six else 26:][:len(address)]) != (
                    ETH_P_IPV6 if six else ETH_P_IP, address):
                continue
            proto, at = (frame[20], 54) if six else (frame[23], 14 + (frame[14] & 15) * 4)
            offset = 0 if six else struct.unpack("!H", frame[20:22])[0] & 0x1FFF
            port = "fragment" if offset else int.from_bytes(frame[at + 2:at + 4], "big")
            print(proto, port, len(frame), flush=True)


# ---- sockets in a cgroup --------------------------------------------------------

def end_text(end):
    address = end[0].replace("::ffff:", "mapped:")
    return f"[{address}]:{end[1]}" if ":" in address else f"{address}:{end[1]}"


def real_peer(sock, kind):
    """The other end as the kernel's table of sockets has it."""
    six = sock.family == socket.AF_INET6
    inode = str(os.fstat(sock.fileno()).st_ino)
    with open(f"/proc/self/net/{kind}{6 if six else ''}", encoding="ascii") as table:
        for line in table:
            words = line.split()
            if words[9] != inode:
                continue
            digits, port = words[2].split(":")
            raw = b"".join(struct.pack("=I", int(digits[i:i + 8], 16))
                           for i in range(0, len(digits), 8))
            return end_text((socket.inet_ntop(sock.family, raw), int(port, 16)))
    return "nothing"


def ask_tcp(sock):
    sock.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    text = b""
    while b"\n" not in text.partition(b"\r\n\r\n")[2]:
        part = sock.recv(4096)
        if not part:
            return "closed"
        text += part
    return text.partition(b"\r\n\r\n")[2].decode().split()[0]


def open_socket(kind, address, timeout, netns=""):
    """A socket, in another network namespace than its process if that is wanted."""
    kinds = {"tcp": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM}
    if netns:
        with open("/proc/self/ns/net", "rb") as own:
            enter_netns(netns)
            sock = socket.socket(family_of(address), kinds[kind])
            enter_netns(f"/proc/self/fd/{own.fileno()}")
    else:
        sock = socket.socket(family_of(address), kinds[kind])
    sock.settimeout(timeout)
    return sock


def sock_once(sock, how, end):
    """One question; who answered, and who that was."""
    if how == "send":
        sock.sendto(b"?" * 64, end)
        answer, source = sock.recvfrom(65535)
        return answer.decode().split()[0], end_text(source)
    if how == "tcp":
        return ask_tcp(sock), end_text(sock.getpeername())
    sock.send(b"?" * 64)
    return sock.recv(65535).decode().split()[0], end_text(sock.getpeername())


def sock(arguments):
    kind = "tcp" if arguments.how == "tcp" else "udp"
    end = (arguments.address, arguments.port or (80 if kind == "tcp" else 53))
    try:
        for _ in range(arguments.sockets):
            with open_socket(kind, arguments.address, arguments.timeout) as s:
                if arguments.how != "send":
                    s.connect(end)
                for _ in range(arguments.count):
                    print(*sock_once(s, arguments.how, end), real_peer(s, kind), flush=True)
    except OSError as e:
        sys.exit(e.strerror or str(e))


def hold(arguments):
    """Sockets of each kind to the same service; what changes while they are held?"""
    ends = {"tcp": (arguments.address, 80), "udp": (arguments.address, 53),
            "send": (arguments.address, 53)}
    asked = []
    signal.signal(signal.SIGUSR1, lambda *_: asked.append(1))
    socks = {how: open_socket("tcp" if how == "tcp" else "udp", arguments.address,
                              arguments.timeout, arguments.netns) for how in ends}
    poll = select.poll()
    poll.register(socks["udp"], 0)
    for how in ("tcp", "udp"):
        socks[how].connect(ends[how])
    asked.append(1)
    for _ in until_terminated():
        if asked:
            for how, s in socks.items():
                try:
                    print(how, *sock_once(s, how, ends[how]), flush=True)
                except OSError as e:
                    print(how, e.strerror or e, flush=True)
            asked.clear()
            print("ready", flush=True)
        if "udp" in socks and poll.poll(20):
            error = socks["udp"].getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            print("udp ended:", os.strerror(error), flush=True)
            del socks["udp"]
            poll = select.poll()
        elif "udp" not in socks:
            time.sleep(0.02)


def bind(arguments):
    with open_socket(arguments.kind, arguments.address, 1) as s:
        s.setsockopt(socket.IPPROTO_IP, 15, 1)  # IP_FREEBIND
        try:
            s.bind((arguments.address, arguments.port))
        except OSError as e:
            sys.exit(e.strerror)
    print("bound")


def enter(arguments):
    if arguments.cgroup:
        with open(os.path.join(arguments.cgroup, "cgroup.procs"), "w", encoding="ascii") as procs:
            procs.write("0")
    if arguments.uid:
        os.setgroups([])
        os.setgid(arguments.uid)
        os.setuid(arguments.uid)


# ---- tap ----------------------------------------------------------------------

TUNSETIFF, IFF_TUN, IFF_TAP, IFF_NO_PI = 0x400454CA, 1, 2, 0x1000


def make_tap(name):
    fd = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TAP | IFF_NO_PI))
    return fd


def tap(arguments):
    outer = make_tap(arguments.device)
    enter_netns(arguments.netns)
    inner = make_tap(arguments.inside)
    other = {outer: inner, inner: outer}
    print("ready", flush=True)
    while True:
        for fd in select.select(list(other), [], [])[0]:
            packet = os.read(fd, 65536)
            try:
                os.write(other[fd], packet)
            except OSError:  # not up yet
                pass


# ---- what a tunnel device does ---------------------------------------------------

def decap(arguments):
    """The kernel checks outer sums for a socket, and the inner ones of what comes from a tun."""
    tun = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(tun, TUNSETIFF, struct.pack("16sH22x", arguments.device.encode(), IFF_TUN | IFF_NO_PI))
    ipip = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_IPIP)
    ip6ip6 = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_IPV6)
    gue = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    gue.bind(("::", arguments.port))
    counts = {ipip: 0, ip6ip6: 0, gue: 0}
    for sock in counts:
        sock.setsockopt(socket.SOL_SOCKET, 33, 1 << 22)  # SO_RCVBUFFORCE

    def tell(*_):
        print(f"ipip {counts[ipip]} ip6ip6 {counts[ip6ip6]} gue {counts[gue]}", flush=True)
        os._exit(0)

    signal.signal(signal.SIGTERM, tell)
    print("ready", flush=True)
    while True:
        for sock in select.select(list(counts), [], [])[0]:
            packet = sock.recv(65536)
            if sock is ipip:  # comes with its header
                packet = packet[(packet[0] & 15) * 4:]
            counts[sock] += 1
            try:
                os.write(tun, packet)
            except OSError:  # not up yet
                pass


def offload(arguments):
    """The ioctl of ethtool -K."""
    commands = {"tx": 0x17, "tso": 0x1f, "gso": 0x24, "gro": 0x2c}
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        for feature in arguments.features.split(","):
            name, value = feature.split("=")
            data = ctypes.create_string_buffer(struct.pack("II", commands[name], int(value)))
            request = struct.pack("16sP16x", arguments.device.encode(), ctypes.addressof(data))
            fcntl.ioctl(sock, 0x8946, request)


def bpf(command, attributes):
    libc = ctypes.CDLL(None, use_errno=True)
    fd = libc.syscall(321 if os.uname().machine == "x86_64" else 280, command, attributes, len(attributes))
    if fd < 0:
        raise OSError(ctypes.get_errno(), "bpf")
    return fd


def xdp(arguments):
    """What a veth sends by XDP_TX gets to its peer only if that has a program, too."""
    code = ctypes.create_string_buffer(struct.pack("=BBhiBBhi", 0xb7, 0, 0, 2, 0x95, 0, 0, 0))
    text = ctypes.create_string_buffer(b"GPL")
    program = bpf(5, struct.pack("=IIQQ", 6, 2, ctypes.addressof(code), ctypes.addressof(text)))
    link = bpf(28, struct.pack("=IIII", program, socket.if_nametoindex(arguments.device), 37, 0))
    print("ready", flush=True)
    signal.pause()
    os.close(link)


# ---- command line -------------------------------------------------------------

def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--cgroup", default="")
    parser.add_argument("--uid", type=int, default=0)
    commands = parser.add_subparsers(required=True)

    def command(function, *positional, **options):
        p = commands.add_parser(function.__name__)
        p.set_defaults(run=function)
        for name in positional:
            p.add_argument(name)
        for name, default in options.items():
            p.add_argument("--" + name.replace("_", "-"), type=type(default), default=default)

    command(serve, "name", tcp=80, udp=53)
    command(ask, "address", port=53, size=64, count=1, timeout=5.0, source_port=0, step=0)
    command(unreachable, "address", port=7, timeout=5.0)
    command(flow, "address", port=53, size=64, timeout=1.0)
    command(knock, "address", port=54, interval=0.001)
    command(sink, port=54)
    command(raw, "device", "gateway_mac", "source", "destination", what="udp", port=54,
            allowed=53, source_port=4444, source_mac="")
    command(capture, "device", "address")
    command(tap, "device", "netns", "inside")
    command(sock, "how", "address", port=0, timeout=5.0, count=1, sockets=1)
    command(hold, "address", timeout=5.0, netns="")
    command(bind, "address", port=8080, kind="tcp")
    command(decap, "device", port=6080)
    command(offload, "device", "features")
    command(xdp, "device")
    arguments = parser.parse_args()
    enter(arguments)
    arguments.run(arguments)


main()

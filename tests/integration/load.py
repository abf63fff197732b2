#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Load for test_load.sh, with an account of each request.

load.py serve NAME      answer HTTP on TCP port 80 and datagrams on UDP port 53 with NAME;
                        after SIGUSR1 each answer ends its connection, and it says "drained"
                        when none is left; what it did is told at SIGTERM
load.py load            ask --http and --udp addresses without pause until SIGTERM, by
                        connections (sockets) that are kept and by fresh ones; after SIGUSR1
                        it says "round" when each was answered that was asked afterwards
load.py removed BEFORE AFTER SERVER...
                        judge two accounts of a load (what it printed), between which back
                        ends were removed, with what these printed
load.py flows ADDRESS   which back end answers datagrams from each of many ports
load.py many            answer datagrams to any address with that address

Ports are the servers' own and the services'.
"""
import argparse
import asyncio
import collections
import json
import resource
import select
import signal
import socket
import sys
import time

HTTP, DNS = 80, 53


def say(word, **what):
    print(word, json.dumps(what), flush=True)


def family_of(address):
    return socket.AF_INET6 if ":" in address else socket.AF_INET


# ---- serve ----------------------------------------------------------------------

class Answers(asyncio.Protocol):
    def __init__(self, server):
        self.server, self.transport, self.buffer = server, None, b""

    def connection_made(self, transport):
        self.transport = transport
        self.server.opened(self)

    def data_received(self, data):
        self.buffer += data
        while b"\r\n\r\n" in self.buffer:
            _, _, self.buffer = self.buffer.partition(b"\r\n\r\n")
            self.transport.write(self.server.answer())
            if self.server.draining:
                self.transport.close()
                return

    def connection_lost(self, exc):
        self.server.closed(self, exc)


class Echo(asyncio.DatagramProtocol):
    def __init__(self, server):
        self.server, self.transport = server, None

    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, addr):
        self.server.datagrams += 1
        self.transport.sendto(self.server.name + b" " + data, addr)


class Server:
    def __init__(self, name):
        self.name, self.draining, self.open = name.encode(), False, set()
        self.accepted = self.late = self.answered = self.datagrams = self.cut = 0

    def opened(self, connection):
        self.open.add(connection)
        self.accepted += 1
        self.late += self.draining

    def closed(self, connection, exc):
        self.open.discard(connection)
        self.cut += exc is not None
        self.tell_drained()

    def tell_drained(self):
        if self.draining and not self.open:
            say("drained", accepted=self.accepted)

    def answer(self):
        self.answered += 1
        last = b"Connection: close\r\n" if self.draining else b""
        return (b"HTTP/1.1 200 OK\r\n" + last + b"Content-Length: %d\r\n\r\n" % len(self.name)
                + self.name)

    def drain(self):
        self.draining = True
        self.tell_drained()


async def serve(arguments):
    loop, server, end = asyncio.get_running_loop(), Server(arguments.name), asyncio.Event()
    loop.add_signal_handler(signal.SIGUSR1, server.drain)
    loop.add_signal_handler(signal.SIGTERM, end.set)
    tcp = socket.create_server(("::", HTTP), family=socket.AF_INET6, dualstack_ipv6=True, backlog=4096)
    udp = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    udp.setsockopt(socket.SOL_SOCKET, 33, 1 << 22)  # SO_RCVBUFFORCE
    udp.bind(("::", DNS))
    await loop.create_server(lambda: Answers(server), sock=tcp, backlog=4096)
    await loop.create_datagram_endpoint(lambda: Echo(server), sock=udp)
    say("ready")
    await end.wait()
    say("served", accepted=server.accepted, late=server.late, answered=server.answered,
        datagrams=server.datagrams, unfinished=server.cut + len(server.open))


# ---- load -----------------------------------------------------------------------

class Target:
    """What was asked of one address, and what came of it: answers, by whom; to whom what was
    kept belongs; what was lost, of whom ("?": nobody had answered yet), and why; answers that
    came from another than before on the same socket."""

    def __init__(self, kind, address):
        self.kind, self.address, self.answered = kind, address, 0
        self.by, self.lost, self.moved, self.why = (collections.Counter() for _ in range(4))

    def account(self, on):
        return {"answered": self.answered, "on": on, "failed": sum(self.lost.values()), "by": self.by,
                "lost": self.lost, "moved": self.moved, "why": self.why}


class Actor:
    """Asks, is answered or not, and asks again."""

    def __init__(self, load, target, kept):
        self.load, self.target, self.kept = load, target, kept
        self.transport, self.name, self.deadline, self.generation = None, None, None, 0
        self.number, self.buffer, self.ending, self.idle = 0, b"", False, True

    def begin(self):
        """A new connection, or a new socket."""
        if self.load.ending:
            self.load.done(self)
            return
        self.name, self.buffer, self.ending, self.transport, self.idle = None, b"", False, None, False
        self.asked()
        self.load.spawn(self.open())

    async def open(self):
        try:
            async with self.load.opening:
                await self.connect()
        except OSError as e:
            self.failed(e.strerror or str(e))

    def asked(self):
        self.generation = self.load.generation
        self.deadline = time.monotonic() + self.load.timeout

    def again(self):
        """After an answer: the next request, or a new connection."""
        if self.load.ending:
            self.load.done(self)
        elif self.kept and not self.ending:
            self.idle = True
            self.load.later(self.next)
        else:
            self.drop()
            self.load.later(self.begin)

    def next(self):
        if not self.ending and self.idle:
            self.idle = False
            self.asked()
            self.ask()

    def answer(self, name):
        self.deadline = None
        if self.name not in (None, name):
            self.target.moved[self.name] += 1
        self.name = name
        self.target.answered += 1
        self.target.by[name] += 1
        self.load.answered(self)

    def failed(self, why):
        """Also a connection that ends between two requests and did not say that it would."""
        self.deadline, self.idle = None, False
        self.target.lost[self.name or "?"] += 1
        self.target.why[why] += 1
        self.drop()
        self.load.later(self.begin)

    def drop(self):
        self.ending = True
        if self.transport:
            self.transport.abort()
            self.transport = None


class Web(Actor, asyncio.Protocol):
    request = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"

    async def connect(self):
        transport, _ = await self.load.loop.create_connection(
            lambda: Session(self), self.target.address, HTTP, family=family_of(self.target.address))
        if self.deadline is None:  # it took too long
            transport.abort()

    def ask(self):
        self.transport.write(self.request)

    def opened(self, transport):
        if self.deadline is not None:
            self.transport = transport
            self.ask()

    def data(self, data):
        self.buffer += data
        head, found, body = self.buffer.partition(b"\r\n\r\n")
        length = int(head.rpartition(b"Content-Length: ")[2].split(b"\r")[0]) if found else 1
        if len(body) < length:
            return
        self.buffer = b""
        if b"Connection: close" in head:
            self.ending = True
        self.answer(body.decode())
        if self.ending or not self.kept:
            self.leave()
        self.again()

    def leave(self):
        """In good order: what an abort would do is send a reset."""
        transport, self.transport = self.transport, None
        transport.close()


class Session(asyncio.Protocol):
    """One connection of an actor."""

    def __init__(self, actor):
        self.actor, self.transport = actor, None

    def connection_made(self, transport):
        self.transport = transport
        self.actor.opened(transport)

    def data_received(self, data):
        if self.actor.transport is self.transport:
            self.actor.data(data)

    def connection_lost(self, exc):
        if self.actor.transport is self.transport:
            self.actor.failed(str(exc or "closed"))


class Datagrams(Actor, asyncio.DatagramProtocol):
    async def connect(self):
        await self.load.loop.create_datagram_endpoint(
            lambda: Exchange(self), remote_addr=(self.target.address, DNS))

    def ask(self):
        self.number += 1
        self.transport.sendto(b"%d" % self.number)

    def opened(self, transport):
        self.transport = transport
        self.ask()

    def data(self, data):
        name, _, number = data.decode().partition(" ")
        if self.deadline is not None and int(number) == self.number:
            self.answer(name)
            self.again()


class Exchange(asyncio.DatagramProtocol):
    def __init__(self, actor):
        self.actor, self.transport = actor, None

    def connection_made(self, transport):
        self.transport = transport
        self.actor.opened(transport)

    def datagram_received(self, data, addr):
        if self.actor.transport is self.transport:
            self.actor.data(data)

    def error_received(self, exc):
        if self.actor.transport is self.transport:
            self.actor.failed(str(exc))


class Load:
    def __init__(self, loop, arguments):
        self.loop, self.timeout, self.pause = loop, arguments.timeout, arguments.pause
        self.generation, self.ending = 0, False
        self.opening, self.tasks, self.end = asyncio.Semaphore(100), set(), asyncio.Event()
        self.targets = [Target(kind, address) for kind in ("http", "udp")
                        for address in getattr(arguments, kind).split(",") if address]
        makers = {"http": Web, "udp": Datagrams}
        self.actors = [makers[t.kind](self, t, i < arguments.kept) for t in self.targets
                       for i in range(arguments.kept + arguments.fresh)]
        self.waiting = set(self.actors)
        self.running = set(self.actors)

    def spawn(self, coroutine):
        task = self.loop.create_task(coroutine)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    def later(self, function):
        self.loop.call_later(self.pause, function)

    def answered(self, actor):
        if actor.generation == self.generation and self.waiting:
            self.waiting.discard(actor)
            if not self.waiting:
                say("round" if self.generation else "ready", **self.account())

    def account(self):
        on = {t: collections.Counter() for t in self.targets}
        for actor in self.actors:
            if actor.kept and actor.name:
                on[actor.target][actor.name] += 1
        return {f"{t.kind} {t.address}": t.account(on[t]) for t in self.targets}

    def next_round(self):
        self.generation += 1
        self.waiting = set(self.actors)

    def stop(self):
        self.ending = True
        for actor in self.actors:
            if actor.idle:
                self.done(actor)

    def done(self, actor):
        self.running.discard(actor)
        if not self.running:
            self.end.set()

    def sweep(self):
        now = time.monotonic()
        for actor in self.actors:
            if actor.deadline is not None and actor.deadline < now:
                actor.failed("no answer" if actor.transport else "no connection")
        self.loop.call_later(0.2, self.sweep)


async def load(arguments):
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    loop = asyncio.get_running_loop()
    it = Load(loop, arguments)
    loop.add_signal_handler(signal.SIGUSR1, it.next_round)
    loop.add_signal_handler(signal.SIGTERM, it.stop)
    for actor in it.actors:
        actor.begin()
    it.sweep()
    await it.end.wait()
    say("end", **it.account())


# ---- accounts ---------------------------------------------------------------------

def last_of(path, *words):
    """What the last line that begins so says."""
    with open(path, encoding="utf-8") as lines:
        return json.loads([line for line in lines if line.startswith(words)][-1].partition(" ")[2])


def removed(arguments):
    """Back ends were removed between two accounts: is what is lost theirs, all of it?"""
    names = [path.rpartition("/")[2].partition(".")[0] for path in arguments.servers]
    unfinished = sum(last_of(path, "served")["unfinished"] for path in arguments.servers)
    before, after = (last_of(path, "round", "ready", "end") for path in (arguments.before, arguments.after))
    wrong, total = [], 0
    for target, now in after.items():
        theirs = {n: c for n, c in before[target]["on"].items() if n in names}
        lost = {n: c for n, c in now["lost"].items() if n != "?"}
        total += now["failed"]
        print(target, "kept with them:", theirs, "lost:", now["lost"], "moved:", now["moved"])
        if not theirs:
            wrong.append(f"{target}: nothing was kept with a back end that is removed")
        if (lost if target.startswith("http") else now["moved"]) != theirs:
            wrong.append(f"{target}: those of others, or not all of theirs")
        if target.startswith("udp") and now["failed"]:
            wrong.append(f"{target}: answers are lost")
    print(f"{total} lost, {unfinished} unfinished at the servers")
    if total > unfinished:
        wrong.append("more were lost than they had")
    sys.exit("\n".join(wrong) or 0)


# ---- flows ----------------------------------------------------------------------

def flows(arguments):
    """Print "PORT ADDRESS" for each: who answers says to which of its addresses it was sent."""
    family = family_of(arguments.address)
    for first in range(arguments.first, arguments.first + arguments.count, 250):
        socks, poll = {}, select.poll()
        for port in range(first, min(first + 250, arguments.first + arguments.count)):
            sock = socket.socket(family, socket.SOCK_DGRAM)
            sock.bind(("", port))
            sock.connect((arguments.address, arguments.port))
            sock.send(b"?")
            socks[sock.fileno()] = sock
            poll.register(sock, select.POLLIN)
        left = set(socks)
        while left:
            ready = poll.poll(5000)
            if not ready:
                sys.exit(f"{len(left)} flows from {first} on got no answer")
            for fd, _ in ready:
                print(socks[fd].getsockname()[1], socks[fd].recv(100).decode())
                poll.unregister(fd)
                left.discard(fd)
        for sock in socks.values():
            sock.close()


def many(arguments):
    """Answer datagrams to any address with that address, and from it."""
    sock = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
    sock.setsockopt(socket.IPPROTO_IPV6, 78, 1)  # IPV6_FREEBIND
    sock.setsockopt(socket.SOL_SOCKET, 33, 1 << 22)
    sock.bind(("::", arguments.port))
    say("ready")
    while True:
        _, control, _, client = sock.recvmsg(100, 256)
        address = control[0][2][:16]
        control = [(level, kind, value[:16] + bytes(4)) for level, kind, value in control]
        text = socket.inet_ntop(socket.AF_INET6, address).replace("::ffff:", "")
        sock.sendmsg([text.encode()], control, 0, client)


# ---- command line ---------------------------------------------------------------

def main():
    parser = argparse.ArgumentParser()
    commands = parser.add_subparsers(required=True)

    def command(function, *positional, **options):
        p = commands.add_parser(function.__name__)
        p.set_defaults(run=function)
        for name in positional:
            p.add_argument(name)
        for name, default in options.items():
            p.add_argument("--" + name, type=type(default), default=default)
        return p

    command(serve, "name")
    command(load, http="", udp="", kept=10, fresh=2, pause=0.005, timeout=10.0)
    command(removed, "before", "after").add_argument("servers", nargs="+")
    command(flows, "address", port=54, first=20000, count=20000)
    command(many, port=54)
    arguments = parser.parse_args()
    if asyncio.iscoroutinefunction(arguments.run):
        asyncio.run(arguments.run(arguments))
    else:
        arguments.run(arguments)


main()

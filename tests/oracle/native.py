# SPDX-License-Identifier: BSD-2-Clause
"""The library and bpf(2) by ctypes, as far as the oracle's runner needs them, from the
public headers."""
import ctypes as c
import ctypes.util
import os
import platform

ENOENT = 2

OPEN_EPHEMERAL = 0x4
EVENT_DROP, EVENT_TRACE = 1, 4

RESERVED = {"host": 1, "unmanaged": 3, "health": 4, "init": 5, "remote-node": 6,
            "kube-apiserver": 7, "ingress": 8}


class OpenOpts(c.Structure):
    _fields_ = [("sz", c.c_size_t), ("flags", c.c_uint32), ("flows4", c.c_uint32),
                ("flows6", c.c_uint32), ("endpoints", c.c_uint32), ("services", c.c_uint32),
                ("policies", c.c_uint32), ("bpffs", c.c_char_p), ("errbuf", c.c_char_p),
                ("errbuf_size", c.c_size_t)]


class EndpointOpts(c.Structure):
    _fields_ = [("sz", c.c_size_t), ("name", c.c_char_p), ("ipv4", c.c_char_p),
                ("ipv6", c.c_char_p), ("labels", c.POINTER(c.c_char_p)), ("mac", c.c_char_p),
                ("id", c.c_uint32), ("reserved", c.c_uint32)]


class EndpointInfo(c.Structure):
    _fields_ = [("sz", c.c_size_t), ("id", c.c_uint32), ("identity", c.c_uint32),
                ("ifindex", c.c_uint32), ("ingress_enforced", c.c_uint32),
                ("egress_enforced", c.c_uint32)]


class ImportOpts(c.Structure):
    _fields_ = [("sz", c.c_size_t), ("filename", c.c_char_p), ("name", c.c_char_p)]


class RuleInfo(c.Structure):
    _fields_ = [("sz", c.c_size_t), ("policy", c.c_char_p), ("filename", c.c_char_p),
                ("cookie", c.c_uint32), ("line", c.c_uint32), ("direction", c.c_uint32),
                ("action", c.c_uint32), ("index", c.c_uint32), ("reserved", c.c_uint32)]


class Event(c.Structure):
    _fields_ = [("sz", c.c_size_t), ("time", c.c_uint64)] + [(n, c.c_uint32) for n in (
        "type", "subtype", "verdict", "drop_reason", "trace_reason", "direction", "is_reply",
        "family", "protocol", "has_ports")] + [
        ("source", c.c_uint8 * 16), ("destination", c.c_uint8 * 16), ("original", c.c_uint8 * 16),
        ("source_port", c.c_uint16), ("destination_port", c.c_uint16),
        ("service_port", c.c_uint16), ("icmp_type", c.c_uint8), ("icmp_code", c.c_uint8)] + [
        (n, c.c_uint32) for n in (
            "tcp_flags", "source_endpoint", "destination_endpoint", "source_identity",
            "destination_identity", "egress_rule", "ingress_rule", "ifindex", "length",
            "source_line")] + [
        ("source_file", c.c_char_p), ("packets", c.c_uint64), ("bytes", c.c_uint64)]


class SubscribeOpts(c.Structure):
    _fields_ = [("sz", c.c_size_t), ("types", c.c_uint32), ("aggregation", c.c_uint32),
                ("ring_bytes", c.c_uint32), ("reserved", c.c_uint32), ("destroy", c.c_void_p)]


EventFn = c.CFUNCTYPE(c.c_int, c.POINTER(Event), c.c_void_p)


class LibraryError(Exception):
    def __init__(self, call, code, text):
        super().__init__(f"{call}: {code}: {text}")
        self.code = code


def library(path):
    lib = c.CDLL(path)
    p, s, u32 = c.c_void_p, c.c_char_p, c.c_uint32
    for name, result, arguments in (
            ("clite_open", c.c_int, [s, c.POINTER(OpenOpts), c.POINTER(p)]),
            ("clite_close", p, [p]),
            ("clite_error", s, [p]),
            ("clite_endpoint_add", c.c_int, [p, s, c.POINTER(EndpointOpts), c.POINTER(u32)]),
            ("clite_endpoint_remove", c.c_int, [p, u32]),
            ("clite_endpoint_get", c.c_int, [p, u32, c.POINTER(c.POINTER(EndpointInfo))]),
            ("clite_ipcache_set", c.c_int, [p, s, u32]),
            ("clite_ipcache_unset", c.c_int, [p, s]),
            ("clite_device_attach", c.c_int, [p, s]),
            ("clite_txn_new", c.c_int, [p, c.POINTER(p)]),
            ("clite_txn_policy_import", c.c_int, [p, s, c.c_size_t, c.POINTER(ImportOpts)]),
            ("clite_txn_policy_delete", c.c_int, [p, s]),
            ("clite_txn_commit", c.c_int, [p]),
            ("clite_txn_free", p, [p]),
            ("clite_rule_get", c.c_int, [p, u32, c.POINTER(c.POINTER(RuleInfo))]),
            ("clite_subscribe", c.c_int, [p, c.POINTER(SubscribeOpts), EventFn, p, c.POINTER(p)]),
            ("clite_unsubscribe", p, [p]),
            ("clite_subscription_lost", c.c_int, [p, c.POINTER(c.c_uint64)]),
            ("clite_dispatch", c.c_int, [p, u32]),
            ("clite_sys_prog_fd", c.c_int, [p, s])):
        function = getattr(lib, name)
        function.restype, function.argtypes = result, arguments
    return lib


class Instance:
    """An ephemeral instance with a subscription."""

    def __init__(self, lib):
        self.lib = lib
        text = c.create_string_buffer(65536)
        opts = OpenOpts(sz=c.sizeof(OpenOpts), flags=OPEN_EPHEMERAL, flows4=8192, flows6=8192,
                        endpoints=64, services=16, policies=1024,
                        errbuf=c.cast(text, c.c_char_p), errbuf_size=len(text))
        self.ctx = c.c_void_p()
        self.sub = c.c_void_p()
        code = lib.clite_open(None, c.byref(opts), c.byref(self.ctx))
        if code < 0:
            raise LibraryError("clite_open", code, text.value.decode(errors="replace"))
        self.events = []
        self.callback = EventFn(self.on_event)
        self.programs = {n: self.check("clite_sys_prog_fd", self.ctx, n.encode())
                         for n in ("from_endpoint", "to_endpoint", "from_netdev")}
        sub = SubscribeOpts(sz=c.sizeof(SubscribeOpts), types=1 << EVENT_DROP | 1 << EVENT_TRACE)
        self.check("clite_subscribe", self.ctx, c.byref(sub), self.callback, None,
                   c.byref(self.sub))

    def check(self, name, *args):
        code = getattr(self.lib, name)(*args)
        if code < 0:
            raise LibraryError(name, code, self.lib.clite_error(self.ctx).decode(errors="replace"))
        return code

    def close(self):
        if self.sub:
            self.lib.clite_unsubscribe(self.sub)
        self.lib.clite_close(self.ctx)

    # ---- state ---------------------------------------------------------------

    def endpoint_add(self, device, name, labels, ipv4, ipv6):
        array = (c.c_char_p * (len(labels) + 1))(*[text.encode() for text in labels], None)
        opts = EndpointOpts(sz=c.sizeof(EndpointOpts), name=name.encode(),
                            ipv4=ipv4.encode() if ipv4 else None,
                            ipv6=ipv6.encode() if ipv6 else None, labels=array)
        number = c.c_uint32()
        self.check("clite_endpoint_add", self.ctx, device.encode(), c.byref(opts),
                   c.byref(number))
        return number.value

    def endpoint_remove(self, number):
        self.check("clite_endpoint_remove", self.ctx, number)

    def endpoint_identity(self, number):
        info = c.POINTER(EndpointInfo)()
        self.check("clite_endpoint_get", self.ctx, number, c.byref(info))
        return info.contents.identity

    def ipcache_set(self, address, identity):
        self.check("clite_ipcache_set", self.ctx, address.encode(), identity)

    def ipcache_unset(self, address):
        self.check("clite_ipcache_unset", self.ctx, address.encode())

    def device_attach(self, device):
        self.check("clite_device_attach", self.ctx, device.encode())

    def commit(self, texts, deleted):
        """Import documents and delete policies, all in one transaction."""
        txn = c.c_void_p()
        self.check("clite_txn_new", self.ctx, c.byref(txn))
        try:
            for name in deleted:
                self.check("clite_txn_policy_delete", txn, name.encode())
            for text in texts:
                text = text.encode()
                self.check("clite_txn_policy_import", txn, text, len(text), None)
            self.check("clite_txn_commit", txn)
        finally:
            self.lib.clite_txn_free(txn)

    # ---- events --------------------------------------------------------------

    def on_event(self, event, _):
        e = event.contents
        n = 4 if e.family == 4 else 16
        self.events.append({"type": e.type, "drop_reason": e.drop_reason,
                            "source": bytes(e.source[:n]), "destination": bytes(e.destination[:n]),
                            "egress_rule": e.egress_rule, "ingress_rule": e.ingress_rule})
        return 0

    def take_events(self):
        self.check("clite_dispatch", self.ctx, 0)
        events, self.events = self.events, []
        return events

    def lost(self):
        n = c.c_uint64()
        self.check("clite_subscription_lost", self.sub, c.byref(n))
        return n.value

    def rule(self, cookie):
        info = c.POINTER(RuleInfo)()
        self.check("clite_rule_get", self.ctx, cookie, c.byref(info))
        r = info.contents
        return {"policy": r.policy.decode(), "direction": r.direction, "action": r.action,
                "index": r.index}


# ---- bpf(2) --------------------------------------------------------------------

BPF_PROG_TEST_RUN = 10
SYS_BPF = {"x86_64": 321, "aarch64": 280}
SKB_SIZE = 192  # struct __sk_buff
SKB_INGRESS_IFINDEX, SKB_IFINDEX = 36, 40

libc = c.CDLL(None, use_errno=True)


class TestRun(c.Structure):
    _fields_ = [("prog_fd", c.c_uint32), ("retval", c.c_uint32), ("data_size_in", c.c_uint32),
                ("data_size_out", c.c_uint32), ("data_in", c.c_uint64), ("data_out", c.c_uint64),
                ("repeat", c.c_uint32), ("duration", c.c_uint32), ("ctx_size_in", c.c_uint32),
                ("ctx_size_out", c.c_uint32), ("ctx_in", c.c_uint64), ("ctx_out", c.c_uint64),
                ("flags", c.c_uint32), ("cpu", c.c_uint32), ("batch_size", c.c_uint32),
                ("pad", c.c_uint32)]


def test_run(program, packet, ifindex, ingress_ifindex):
    """What a program returns for a packet, as a signed number."""
    skb = (c.c_uint32 * (SKB_SIZE // 4))()
    skb[SKB_IFINDEX // 4] = ifindex
    skb[SKB_INGRESS_IFINDEX // 4] = ingress_ifindex
    data = c.create_string_buffer(packet, len(packet))
    attr = TestRun(prog_fd=program, data_size_in=len(packet), data_in=c.addressof(data),
                   repeat=1, ctx_size_in=c.sizeof(skb), ctx_in=c.addressof(skb))
    if libc.syscall(SYS_BPF[platform.machine()], BPF_PROG_TEST_RUN, c.byref(attr),
                    c.sizeof(attr)):
        number = c.get_errno()
        raise OSError(number, "BPF_PROG_TEST_RUN: " + os.strerror(number))
    return c.c_int32(attr.retval).value


# ---- network namespace -----------------------------------------------------------

CLONE_NEWNET = 0x40000000


def own_network():
    """Leave for a network namespace of one's own; it goes with the process."""
    if libc.unshare(CLONE_NEWNET):
        raise OSError(c.get_errno(), "unshare: " + os.strerror(c.get_errno()))

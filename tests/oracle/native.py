# SPDX-License-Identifier: BSD-2-Clause
"""bpf(2) and unshare(2)."""
import ctypes as c
import os
import platform

BPF_PROG_TEST_RUN = 10
SYS_BPF = {"x86_64": 321, "aarch64": 280}
SKB_SIZE = 192  # struct __sk_buff
SKB_INGRESS_IFINDEX, SKB_IFINDEX = 36, 40
CLONE_NEWNET = 0x40000000

libc = c.CDLL(None, use_errno=True)


class TestRun(c.Structure):
    """The part of union bpf_attr for BPF_PROG_TEST_RUN."""

    _fields_ = [("prog_fd", c.c_uint32), ("retval", c.c_uint32), ("data_size_in", c.c_uint32),
                ("data_size_out", c.c_uint32), ("data_in", c.c_uint64), ("data_out", c.c_uint64),
                ("repeat", c.c_uint32), ("duration", c.c_uint32), ("ctx_size_in", c.c_uint32),
                ("ctx_size_out", c.c_uint32), ("ctx_in", c.c_uint64), ("ctx_out", c.c_uint64),
                ("flags", c.c_uint32), ("cpu", c.c_uint32), ("batch_size", c.c_uint32),
                ("pad", c.c_uint32)]


def fail(what):
    number = c.get_errno()
    raise OSError(number, f"{what}: {os.strerror(number)}")


def test_run(program, packet, ifindex, ingress_ifindex):
    """What a program returns for a packet on a device, as a signed number. ingress_ifindex:
    where the stack got it from, 0: made by the host."""
    skb = (c.c_uint32 * (SKB_SIZE // 4))()
    skb[SKB_IFINDEX // 4] = ifindex
    skb[SKB_INGRESS_IFINDEX // 4] = ingress_ifindex
    data = c.create_string_buffer(packet, len(packet))
    attr = TestRun(prog_fd=program, data_size_in=len(packet), data_in=c.addressof(data),
                   repeat=1, ctx_size_in=c.sizeof(skb), ctx_in=c.addressof(skb))
    if libc.syscall(SYS_BPF[platform.machine()], BPF_PROG_TEST_RUN, c.byref(attr),
                    c.sizeof(attr)):
        fail("BPF_PROG_TEST_RUN")
    return c.c_int32(attr.retval).value


def own_network():
    """Leave for a network namespace of one's own; it goes with the process."""
    if libc.unshare(CLONE_NEWNET):
        fail("unshare")

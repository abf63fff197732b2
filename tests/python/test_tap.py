# SPDX-License-Identifier: BSD-2-Clause
"""A workload behind a tap decides how the kernel lays out its packets."""
import fcntl
import os
import struct
import unittest

from support import RootTestCase, run

TUNSETIFF = 0x400454CA
IFF_TAP, IFF_NO_PI, IFF_VNET_HDR = 0x2, 0x1000, 0x4000  # linux/if_tun.h
ETHERNET, IPV4, IPV6, UDP = 14, 20, 40, 8
DATA = bytes(5000)  # more than a page: shorter frames always lie in one piece


def ipv4(source, destination, length):
    header = struct.pack("!BBHHHBBH4s4s", 0x45, 0, IPV4 + length, 1, 0, 64, 17, 0, source,
                         destination)
    total = sum(struct.unpack("!10H", header))
    total = (total & 0xffff) + (total >> 16)
    total = (total & 0xffff) + (total >> 16)
    return header[:10] + struct.pack("!H", ~total & 0xffff) + header[12:]


def ipv6(source, destination, length):
    return struct.pack("!IHBB16s16s", 6 << 28, length, 17, 64, source, destination)


class TapTest(RootTestCase):
    def setUp(self):
        super().setUp()
        self.tap = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC)
        self.stack.callback(os.close, self.tap)
        fcntl.ioctl(self.tap, TUNSETIFF,
                    struct.pack("16sH22x", b"tap0", IFF_TAP | IFF_NO_PI | IFF_VNET_HDR))
        run("ip", "link", "set", "dev", "tap0", "mtu", "9000", "up")
        self.veth("veth0")
        self.ctx = self.context()
        self.a = self.ctx.endpoints.add("tap0", ipv4="10.77.0.1", ipv6="fd77::1",
                                        labels=["app=a"], mac="02:00:00:00:00:01")
        self.b = self.ctx.endpoints.add("veth0", ipv4="10.77.0.2", ipv6="fd77::2",
                                        labels=["app=b"], mac="02:00:00:00:00:02")

    def send(self, ip, ethertype, header_length, sport):
        udp = struct.pack("!HHHH", sport, 53, UDP + len(DATA), 0xffff) + DATA
        a, b = ((self.a.ipv4, self.b.ipv4) if ip is ipv4 else (self.a.ipv6, self.b.ipv6))
        frame = bytes.fromhex("020000000002" "020000000001") + struct.pack("!H", ethertype) \
            + ip(a.packed, b.packed, len(udp)) + udp
        os.write(self.tap, struct.pack("=BBHHHH", 0, 0, header_length, 0, 0, 0) + frame)

    def counted(self):
        return [(c.reason_text, c.packets) for c in self.ctx.counters]

    def test_headers_in_pieces(self):
        """Only the first bytes lie where the programs read directly, the rest behind."""
        sent = 0
        for ip, ethertype, length in ((ipv4, 0x0800, IPV4), (ipv6, 0x86DD, IPV6)):
            for pieces in (0, ETHERNET, ETHERNET + 1, ETHERNET + length,
                           ETHERNET + length + 1, ETHERNET + length + UDP):
                with self.subTest(ip=ip.__name__, pieces=pieces):
                    for _ in range(2):  # a new flow; the same again
                        self.send(ip, ethertype, pieces, 1000 + pieces)
                        sent += 1
                    self.assertEqual(self.counted(), [("Forwarded", sent)])


if __name__ == "__main__":
    unittest.main()

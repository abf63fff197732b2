# SPDX-License-Identifier: BSD-2-Clause
"""Packets as bytes. Sums are zero: nothing that judges a packet looks at them."""
import ipaddress
import struct

NUMBERS = {"ICMP": 1, "TCP": 6, "UDP": 17, "ICMPv6": 58, "SCTP": 132}
ECHO = {"ICMP": (8, 0), "ICMPv6": (128, 129)}  # request, reply
SYN, ACK = 0x02, 0x10


def layer4(probe, source_port, port, flags):
    protocol = probe["protocol"]
    if protocol == "TCP":
        return struct.pack("!HHIIBBHHH", source_port, port, 1, 1 if flags & ACK else 0, 5 << 4,
                           flags, 65535, 0, 0)
    if protocol == "UDP":
        return struct.pack("!HHHH", source_port, port, 12, 0) + b"data"
    if protocol == "SCTP":
        return struct.pack("!HHII", source_port, port, 0, 0) + bytes(4)
    return struct.pack("!BBHHH", probe["type"], 0, 0, probe["sport"], 1) + bytes(40)


def answer(probe):
    """The packet that answers a probe."""
    back = {**probe, "source": probe["destination"], "destination": probe["source"]}
    if probe["protocol"] in ECHO:
        back["type"] = ECHO[probe["protocol"]][1]
    return back


def build(probe, reply=False, new=True):
    """A probe's packet; with reply the one that answers it. new: the first of its flow."""
    flags = (SYN | ACK if reply else SYN) if new else ACK
    p = answer(probe) if reply else probe
    port = probe.get("port", 0)
    ends = (port, probe["sport"]) if reply else (probe["sport"], port)
    payload = layer4(p, *ends, flags)
    source = ipaddress.ip_address(p["source"])
    destination = ipaddress.ip_address(p["destination"])
    number = NUMBERS[p["protocol"]]
    if source.version == 4:
        ip = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(payload), 0, 0, 64, number, 0)
        kind = 0x0800
    else:
        ip = struct.pack("!IHBB", 6 << 28, len(payload), number, 64)
        kind = 0x86dd
    ethernet = bytes.fromhex("020000000001" "020000000002") + struct.pack("!H", kind)
    return ethernet + ip + source.packed + destination.packed + payload

#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Read a pcapng file as its specification (draft-ietf-opsawg-pcapng) says, and refuse
everything that does not hold: pcapng.py FILE prints it as JSON."""
import json
import struct
import sys

SECTION, INTERFACE, STATISTICS, PACKET = 0x0A0D0D0A, 1, 5, 6


def need(condition, what):
    if not condition:
        sys.exit(f"pcapng: {what}")


def blocks(data):
    at = 0
    while at < len(data):
        need(len(data) - at >= 12, f"a piece of a block at {at}")
        kind, length = struct.unpack_from("<II", data, at)
        need(length % 4 == 0 and 12 <= length <= len(data) - at, f"length {length} at {at}")
        need(struct.unpack_from("<I", data, at + length - 4)[0] == length, f"lengths at {at}")
        yield kind, data[at + 8:at + length - 4]
        at += length


def options(data):
    found, at = {}, 0
    while at < len(data):
        need(len(data) - at >= 4, "a piece of an option")
        code, length = struct.unpack_from("<HH", data, at)
        if code == 0:
            need(length == 0 and at + 4 == len(data), "something behind the last option")
            return found
        padded = (length + 3) // 4 * 4
        need(at + 4 + padded <= len(data), "an option that is too long")
        need(not any(data[at + 4 + length:at + 4 + padded]), "padding that is not zero")
        need(code not in found, f"option {code} twice")
        found[code] = data[at + 4:at + 4 + length]
        at += 4 + padded
    need(not data, "options without an end")
    return found


def text(value):
    return value.decode() if value is not None else None


def number(value):
    return int.from_bytes(value, "little") if value is not None else None


def time_of(high, low):
    return high << 32 | low


def packet(body, interfaces):
    need(len(body) >= 20, "a short packet block")
    which, high, low, captured, length = struct.unpack_from("<IIIII", body)
    need(which < len(interfaces), f"a packet of interface {which}")
    need(captured <= length and captured <= interfaces[which]["snaplen"], "captured too much")
    end = 20 + (captured + 3) // 4 * 4
    need(end <= len(body), "a packet longer than its block")
    found = options(body[end:])
    return {"interface": which, "time": time_of(high, low), "length": length,
            "data": body[20:20 + captured].hex(), "comment": text(found.get(1)),
            "direction": number(found.get(2, b"")) & 3}


def read(path):
    with open(path, "rb") as file:
        data = file.read()
    ret = {"interfaces": [], "packets": [], "statistics": [], "bytes": len(data)}
    for n, (kind, body) in enumerate(blocks(data)):
        need((kind == SECTION) == (n == 0), "a section header elsewhere than first")
        if kind == SECTION:
            magic, major, minor, length = struct.unpack_from("<IHHq", body)
            need(magic == 0x1A2B3C4D and (major, minor, length) == (1, 0, -1), "its header")
            ret["application"] = text(options(body[16:]).get(4))
        elif kind == INTERFACE:
            link, reserved, snaplen = struct.unpack_from("<HHI", body)
            found = options(body[8:])
            need(link == 1 and not reserved and found.get(9) == b"\x09", "an interface")
            ret["interfaces"].append({"name": text(found.get(2)), "snaplen": snaplen})
        elif kind == PACKET:
            need(not ret["statistics"], "a packet behind the statistics")
            ret["packets"].append(packet(body, ret["interfaces"]))
        elif kind == STATISTICS:
            which, high, low = struct.unpack_from("<III", body)
            found = options(body[12:])
            need(which < len(ret["interfaces"]), "statistics of no interface")
            ret["statistics"].append({"interface": which, "time": time_of(high, low),
                                      "delivered": number(found.get(8)),
                                      "lost": number(found.get(7)), "comment": text(found.get(1))})
        else:
            need(False, f"a block of type {kind}")
    need("application" in ret, "an empty file")
    return ret


if __name__ == "__main__":
    json.dump(read(sys.argv[1]), sys.stdout)

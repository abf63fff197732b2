# SPDX-License-Identifier: BSD-2-Clause
"""What Hubble's metrics must say of flows in JSON, worked out from their text alone.

flow_counts.py FLOWS SKIP BEFORE AFTER: the flows of a file but for the first SKIP lines are what
the page AFTER says more than BEFORE. Metrics as test_metrics.sh asks for them."""
import collections
import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "python"))
from exposition import Exposition  # noqa: E402

POINTS = {0: "to-endpoint", 1: "to-proxy", 2: "to-host", 3: "to-stack", 4: "to-overlay",
          5: "from-endpoint", 6: "from-proxy", 7: "from-host", 8: "from-stack",
          9: "from-overlay", 10: "from-network", 11: "to-network"}
TYPES = {1: "Drop", 4: "Trace", 5: "PolicyVerdict"}
MATCHES = {None: "none", 0: "none", 1: "l3-only", 2: "l3-l4", 3: "l4-only", 4: "all",
           5: "l3-proto", 6: "proto-only"}


def pod(end):
    name = end.get("pod_name", "")
    return f"{end['namespace']}/{name}" if end.get("namespace") else name


def count(flow):
    """Samples that a flow adds one to: (name, {label: value})"""
    kind = flow["event_type"]["type"]
    l4 = flow.get("l4", {})
    protocol = next(iter(l4), None)
    source, destination = flow.get("source", {}), flow.get("destination", {})
    passed = flow["verdict"] == "FORWARDED"
    labels = {"protocol": protocol or "Unknown L4"}

    yield "hubble_flows_processed_total", {
        **labels, "type": TYPES[kind], "verdict": flow["verdict"],
        "subtype": POINTS[flow["event_type"].get("sub_type", 0)] if kind == 4 else ""}
    if flow["verdict"] == "DROPPED":
        yield "hubble_drop_total", {
            **labels, "reason": flow["drop_reason_desc"],
            "source": pod(source), "destination": pod(destination) or flow["IP"]["destination"]}
    if kind == 5 and source.get("identity") != 1:
        yield "hubble_policy_verdicts_total", {
            "direction": flow["traffic_direction"].lower(),
            "match": MATCHES[flow.get("policy_match_type")],
            "action": flow["verdict"].lower(),
            "source_app": next((label.split("=")[1] for label in source.get("labels", ())
                                if label.startswith("k8s:app=")), ""),
            "traffic_direction": flow["traffic_direction"].lower()}
    if protocol in ("TCP", "UDP") and passed and flow.get("is_reply") is False:
        yield "hubble_port_distribution_total", {
            **labels, "port": str(l4[protocol]["destination_port"])}
    elif protocol in ("ICMPv4", "ICMPv6") and passed and flow.get("is_reply") is False:
        yield "hubble_port_distribution_total", {**labels, "port": "0"}
    if protocol in ("ICMPv4", "ICMPv6"):
        yield "hubble_icmp_total", {"family": flow["IP"]["ipVersion"],
                                    "type": flow["Summary"].split(" ", 1)[1]}
    if protocol == "TCP" and passed:
        flags = l4["TCP"].get("flags", {})
        family = {"family": flow["IP"]["ipVersion"]}
        if flags.get("SYN"):
            yield "hubble_tcp_flags_total", {**family,
                                             "flag": "SYN-ACK" if flags.get("ACK") else "SYN"}
        for flag in ("FIN", "RST"):
            if flags.get(flag):
                yield "hubble_tcp_flags_total", {**family, "flag": flag}
    if "reserved:world" in destination.get("labels", ()) and protocol:
        reply = flow.get("is_reply") is True
        if passed and not reply or flow.get("drop_reason_desc") == "POLICY_DENIED":
            yield "hubble_flows_to_world_total", {
                **labels, "verdict": flow["verdict"],
                "port": str(l4[protocol].get("destination_port", ""))}


def main(flows, skip, before, after):
    expected, actual = collections.Counter(), collections.Counter()
    with open(flows, encoding="utf-8") as f:
        for line in f.read().splitlines()[int(skip):]:
            for name, labels in count(json.loads(line)["flow"]):
                expected[name, tuple(sorted(labels.items()))] += 1
    for path, sign in ((after, 1), (before, -1)):
        with open(path, encoding="utf-8") as f:
            for (name, labels), value in Exposition(f.read()).samples.items():
                if name.startswith("hubble_") and name != "hubble_lost_events_total":
                    actual[name, labels] += sign * int(value)
    for sample in sorted(expected.keys() | actual.keys()):
        if expected[sample] != actual[sample]:
            print(f"{sample}: {actual[sample]}, expected {expected[sample]}")
    names = {name for name, _ in expected}
    if len(names) < 7:
        print(f"not all metrics were asked for: {sorted(names)}")
    return len(names) < 7 or expected != +actual


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

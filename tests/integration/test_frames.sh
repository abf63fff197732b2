#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# Frames that a workload makes by hand: with another's address, truncated, with
# lengths that lie, overlapping fragments, chains of headers. Nothing comes through
# that the policy denies, and all is counted.
# shellcheck disable=SC2317,SC2015 # functions are called by name
# shellcheck source=tests/integration/lib.sh
. "$(dirname "$0")/lib.sh"

denied=133 bad_source=132

# Frames that came to web from an address up to now; the first line of a capture is "ready".
captured() {
	sed 1d "$tmp/capture $1"
}

send() {
	in_ns mallory python3 "$root/tests/integration/net.py" raw eth0 "$gateway" "$@" 2>&1
}

total_drops() {
	clite status -o json | query 'd["dropped"]'
}

arrives() {
	[[ -n $(captured "$1") ]]
}

# A frame by hand as anybody's: it comes through, so frames by hand do.
honest() {
	prints 1 send "$1" "$2" --port 53 && wait_for arrives "$1" && captured "$1"
}

# With the address of somebody else: dropped, and web does not see it. What follows it
# has come when it is looked at.
spoofed() {
	local source=$1 own=$2 to=$3 before

	shift 3
	before=$(drops "$bad_source")
	prints 1 send "$source" "$to" --port 53 "$@" &&
		prints $((before + 1)) drops "$bad_source" && in_order "$own" "$to" || return
	prints "" captured "$source"
}

# Frames come in order: one that is allowed has come, so those before have come or never will.
in_order() {
	local before

	before=$(captured "$1" | wc -l)
	send "$1" "$2" --port 53 >/dev/null || return
	wait_for more_captured "$1" "$before"
}

more_captured() {
	[[ $(captured "$1" | wc -l) -gt $2 ]]
}

# Frames of a kind are dropped, all of them, and none of them comes to port 80 or 54, nor
# does one that says nothing about ports: no_way_in SOURCE DESTINATION KIND
no_way_in() {
	local before sent

	before=$(total_drops)
	send "$1" "$2" --what "$3" --port 80 >"$tmp/sent" || return
	sent=$(cat "$tmp/sent")
	[[ $sent -gt 0 ]] || return
	in_order "$1" "$2" || return
	echo "$sent sent, $(($(total_drops) - before)) dropped; came:"
	captured "$1" | sort | uniq -c
	! captured "$1" | grep -vE '^17 (53|fragment) ' && [[ $(total_drops) -gt $before ]]
}

all_counted() {
	local before

	before=$(total_drops)
	send "$1" "$2" --what "$3" --port 80 >"$tmp/sent" || return
	prints $((before + $(cat "$tmp/sent"))) total_drops
}

make_host
workload mallory 1
workload web 11
workload victim 12
serve web
web4=$(address4 11) web6=$(address6 11) own4=$(address4 1) own6=$(address6 1)
gateway=$(cat /sys/class/net/mallory/address)
clite instance create default >/dev/null || die "cannot create an instance"
endpoint mallory 1
endpoint web 11
endpoint victim 12
# Answers find somebody, so mallory's kernel sends no errors on its own.
traffic answers mallory sink --port 4444
for address in "$own4" "$own6" "$(address4 12)" "$(address6 12)" 203.0.113.5 2001:db8:5::5 "$host4" "$host6"; do
	traffic "capture $address" web capture eth0 "$address"
done

check "by hand, IPv4" honest "$own4" "$web4"
check "by hand, IPv6" honest "$own6" "$web6"
check "source of another endpoint, IPv4" spoofed "$(address4 12)" "$own4" "$web4"
check "source of another endpoint, IPv6" spoofed "$(address6 12)" "$own6" "$web6"
check "source of another endpoint, TCP" spoofed "$(address4 12)" "$own4" "$web4" --what tcp
check "source of nobody, IPv4" spoofed 203.0.113.5 "$own4" "$web4"
check "source of nobody, IPv6" spoofed 2001:db8:5::5 "$own6" "$web6"
check "source of the host, IPv4" spoofed "$host4" "$own4" "$web4"
check "source of the host, IPv6" spoofed "$host6" "$own6" "$web6"
check "another hardware address and source" spoofed "$(address4 12)" "$own4" "$web4" \
	--source-mac 02:00:00:00:00:99

cat <<-YAML | import
	apiVersion: cilium.io/v2
	kind: CiliumNetworkPolicy
	metadata: {name: web}
	spec:
	  endpointSelector: {matchLabels: {app: web}}
	  ingress:
	  - toPorts: [{ports: [{port: "53", protocol: UDP}]}]
YAML
for kind in truncated mutants chains; do
	check "$kind: no way in, IPv4" no_way_in "$own4" "$web4" $kind
	check "$kind: no way in, IPv6" no_way_in "$own6" "$web6" $kind
done
check "overlapping fragments: no way in" no_way_in "$own4" "$web4" overlapping
check "truncated: all counted, IPv4" all_counted "$own4" "$web4" truncated
check "truncated: all counted, IPv6" all_counted "$own6" "$web6" truncated
check "web still answers, IPv4" prints "web $own4" ask mallory "$web4"
check "web still answers, IPv6" prints "web $own6" ask mallory "$web6"
check "and TCP is dropped, reason $denied" test "$(drops "$denied")" -gt 0
done_testing

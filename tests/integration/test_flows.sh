#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# The flow table beside the traffic that filled it: states, exact counters, flush,
# and what happens when it is full.
# shellcheck disable=SC2317,SC2015 # functions are called by name
# shellcheck source=tests/integration/lib.sh
. "$(dirname "$0")/lib.sh"

# Rows of the flow table that red began or was answered on, as "FIELD...":
# rows PORT-OR-0 EXPRESSION
rows() {
	clite bpf ct list red -o json | query \
		"'; '.join(sorted(str($2) for f in d if int(sys.argv[2]) in (0, f['source'].get('port'), f['destination'].get('port'))))" "$1"
}

# From here on only what is begun from here on. Connections of before would put the
# rest of their packets into the table.
flush() {
	wait_for no_connections || die "connections do not end"
	clite bpf ct flush >/dev/null || die "cannot flush"
}

no_connections() {
	local ns

	for ns in red blue green; do
		[[ -z $(in_ns "$ns" ss -Htn state connected exclude time-wait) ]] || return
	done
}

# Every frame counts, with its Ethernet header: counters ADDRESS SIZE-OF-HEADERS
counters() {
	flush
	ask red "$1" --count 10 --size 100 --source-port 5000 >/dev/null || return
	prints "(10, $((10 * (100 + $2)))); (10, $((10 * (100 + $2))))" rows 5000 '(f["packets"], f["bytes"])'
}

echo_counters() {
	flush
	in_ns red ping -q -c 7 -i 0.01 -W 2 "$1" >/dev/null || return
	prints "(7, $((7 * (64 + $2)))); (7, $((7 * (64 + $2))))" rows 0 '(f["packets"], f["bytes"])'
}

# Large packets of the stack are one packet here, and every byte is counted.
offload() {
	flush
	get red "$1" 3000000 -o /dev/null --local-port 6000 || return
	clite bpf ct list red -o json | tee "$tmp/ct.json" | query 'd' && query '
		[(f["packets"], f["bytes"]) for f in d if f["source"]["port"] == 80]' <"$tmp/ct.json"
	prints True query 'all(3000000 < f["bytes"] < 3100000 and f["packets"] < 1500
		for f in d if f["source"]["port"] == 80) and len(d) == 2' <"$tmp/ct.json"
}

# SYN alone; established: flags and how long they stay.
states() {
	local transfer

	flush
	in_ns red python3 "$root/tests/integration/net.py" raw eth0 "$gateway" "$(address4 1)" \
		198.51.100.77 --what tcp --port 80 >/dev/null || return
	wait_for syn_is_there || { rows 80 f; return 1; }
	prints "(True, ['Reply']); (True, [])" rows 80 '(50 < f["expires"] <= 60, f["flags"])' || return
	flush
	background slow red "${curl[@]}" --limit-rate 100k --local-port 6001 -o /dev/null \
		"http://$(address4 2)/50000000"
	transfer=$pid
	wait_for established || { rows 6001 f; cat "$tmp/slow"; return 1; }
	prints "(True, ['SeenNonSyn', 'Reply']); (True, ['SeenNonSyn'])" rows 6001 \
		'(7900 < f["expires"] <= 8000, sorted(f["flags"], reverse=True))' ||
		{ cat "$tmp/slow"; return 1; }
	stop "$transfer"
}

syn_is_there() {
	prints "0; 2" rows 80 'f["flags-seen"]'
}

established() {
	prints "18; 18" rows 6001 'f["flags-seen"] & 18'
}

closing() {
	prints "True; True" rows 80 'f["expires"] <= 10 and "Closing" in str(f["flags"])'
}

# What is over is not there any more: a closed connection after 10 s.
expires() {
	flush
	get red "$1" || return
	closing || { rows 80 f; return 1; }
	wait_for nothing_left
}

nothing_left() {
	prints "" rows 80 f
}

flush_one() {
	flush
	ask red "$(address4 2)" && ask green "$(address4 2)" || return
	prints 4 count || return
	prints "2 entries removed" clite bpf ct flush red && prints 2 count &&
		prints "2 entries removed" clite bpf ct flush && prints 0 count
}

count() {
	clite bpf ct list -o json | query 'len(d)'
}

# More flows than there is room for: each is served, also the one that lives on.
full() {
	traffic flow red flow "$1"
	ask green "$1" --count 3000 --source-port 20000 --step 1 --timeout 2 >"$tmp/answers" || return
	stop "$pid"
	cat "$tmp/flow"
	echo "$(count) entries"
	[[ $(wc -l <"$tmp/answers") -eq 3000 && $(count) -le 2200 ]] && grep -qx 'lost 0' "$tmp/flow"
}

# A policy that cuts everything but what is answered holds also when entries are pushed out.
full_and_denied() {
	allow blue blue nobody | import
	refused ask green "$1" --count 1 --timeout 0.2 && [[ $(drops 133) -gt 0 ]] || return
	allow blue blue red | import
	full_red "$1"
}

full_red() {
	ask red "$1" --count 1500 --source-port 20000 --step 1 --timeout 2 | wc -l >"$tmp/n"
	prints 1500 cat "$tmp/n" && refused ask green "$1" --timeout 0.2
}

make_host
make_world
# Somebody who never answers; nor does the host say after some seconds that he is not there.
ip neigh add 198.51.100.77 lladdr 02:00:00:00:00:77 dev uplink
workload red 1
workload blue 2
workload green 3
serve blue
gateway=$(cat /sys/class/net/red/address)
clite instance create default >/dev/null || die "cannot create an instance"
endpoint red 1
endpoint blue 2
endpoint green 3

check "UDP counters are exact, IPv4" counters "$(address4 2)" 42
check "UDP counters are exact, IPv6" counters "$(address6 2)" 62
check "echo counters are exact, IPv4" echo_counters "$(address4 2)" 34
check "echo counters are exact, IPv6" echo_counters "$(address6 2)" 54
check "a transfer counts every byte" offload "$(address4 2)"
check "SYN, established" states
check "flush" flush_one
check "a closed connection is closing, then forgotten" expires "$(address4 2)"
clite instance delete default >/dev/null
clite instance create default --flows4 1024 --flows6 1024 >/dev/null || die "cannot create an instance"
endpoint red 1
endpoint blue 2
endpoint green 3
check "a full table serves all, IPv4" full "$(address4 2)"
check "a full table serves all, IPv6" full "$(address6 2)"
check "a full table and a policy, IPv4" full_and_denied "$(address4 2)"
check "a full table and a policy, IPv6" full_and_denied "$(address6 2)"
done_testing

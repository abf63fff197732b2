#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# What the daemon serves to Prometheus: the figures against packets that were sent, and HTTP.
# shellcheck disable=SC2317,SC2015,SC2016 # functions are called by name; awk has dollars
# shellcheck source=tests/integration/lib.sh
. "$(dirname "$0")/lib.sh"

clited=$BUILD/tools/clited/clited
config=$tmp/clited.yaml
at=127.0.0.1:9962
daemon=0

[[ -x $clited ]] || { echo "the build has no daemon clited"; exit 77; }

# ---- the daemon -----------------------------------------------------------------

start_clited() {
	: >"$tmp/log"
	"$clited" --log-level debug "$@" 2>"$tmp/log" &
	daemon=$!
	wait_for logged "instance 'default', " || die "clited: $(cat "$tmp/log")"
}

stop_clited() {
	kill "$daemon" && wait "$daemon"
}

logged() {
	grep -qF -e "$1" "$tmp/log"
}

# After SIGHUP it says this, once more: reload TEXT
reload() {
	local before

	before=$(grep -cF -e "$1" "$tmp/log")
	kill -HUP "$daemon"
	wait_for logged_more "$before" "$1" || { tail "$tmp/log"; return 1; }
}

logged_more() {
	[[ $(grep -cF -e "$2" "$tmp/log") -gt $1 ]]
}

# It ends at once, and says: fails STATUS TEXT OPTION...
fails() {
	local status=0

	timeout 20 "$clited" "${@:3}" 2>"$tmp/said" || status=$?
	[[ $status -eq $1 ]] && grep -qF -e "$2" "$tmp/said" && return
	echo "status $status: $(cat "$tmp/said")"
	return 1
}

# ---- reading ----------------------------------------------------------------------

scrape() {
	"${curl[@]}" --max-time 10 "$@" "http://$at/metrics"
}

scrape_at() {
	local at=$1

	scrape -o /dev/null
}

# Value of a metric: value NAME [LABEL=VALUE]...
value() {
	scrape >"$tmp/page" && python3 "$root/tests/python/exposition.py" "$tmp/page" "$@"
}

# It becomes this: becomes VALUE NAME [LABEL=VALUE]...
becomes() {
	wait_for prints "$1" value "${@:2}" && return
	echo "$(value "${@:2}"), expected $1: ${*:2}"
	return 1
}

# Status of an answer, and a header of it: answer METHOD PATH [HEADER]
answer() {
	"${curl[@]}" --max-time 10 -o /dev/null -D "$tmp/head" -X "$1" "http://$at$2" || return
	tr -d '\r' <"$tmp/head" | awk -v name="${3-}" 'NR == 1 { print $2 }
		name && tolower($1) == tolower(name) ":" { sub(/^[^ ]* /, ""); print }'
}

counter() {
	clite metrics list -o json -p "^$1\$" |
		query 'sum(m["value"] for m in d if dict(a.split("=", 1) for a in sys.argv[2:]).items() <= m["labels"].items())' "${@:2}"
}

# ---- figures ------------------------------------------------------------------------

# Two namespaces that know each other: each ping is a packet there and one back.
forwards() {
	local before

	before=$(counter cilium_forward_count_total)
	ping_to red "$(address4 2)" >/dev/null && ping_to red "$(address6 2)" >/dev/null || return
	prints $((before + 8)) counter cilium_forward_count_total &&
		becomes "$(counter cilium_forward_count_total direction=INGRESS)" cilium_forward_count_total direction=INGRESS &&
		becomes "$(counter cilium_forward_bytes_total direction=INGRESS)" cilium_forward_bytes_total direction=INGRESS
}

# Pings of 98 bytes that a rule denies, and TCP that no rule allows.
drops() {
	! ping_to green "$(address4 2)" -c 3 -W 1 >/dev/null &&
		becomes 3 cilium_drop_count_total reason="Policy denied by denylist" direction=INGRESS &&
		becomes 294 cilium_drop_bytes_total reason="Policy denied by denylist" direction=INGRESS || return
	! ping_to green "$(address4 1)" -c 2 -W 1 >/dev/null &&
		becomes 2 cilium_drop_count_total reason="Policy denied" direction=INGRESS
}

objects() {
	becomes 3 cilium_endpoint && becomes 3 cilium_endpoint_state endpoint_state=ready &&
		becomes 2 cilium_policy && becomes 2 cilium_policy_endpoint_enforcement_status enforcement=ingress &&
		becomes 0 cilium_lite_services &&
		clite service update --frontend 10.96.0.1:80 --backends 10.77.0.1,10.77.0.2 --states active,maintenance >/dev/null &&
		becomes 1 cilium_lite_services && becomes 1 cilium_lite_backends state=maintenance &&
		clite service delete 10.96.0.1:80 >/dev/null && becomes 0 cilium_lite_backends state=active
}

linted() {
	scrape >"$tmp/page" && prints "" promtool check metrics <"$tmp/page"
}

# ---- Hubble's metrics ---------------------------------------------------------------

# Does the build count flows?
have_hubble() {
	echo "hubble-metrics: [drop]" >"$tmp/hubble.yaml"
	"$clited" --check-config --config "$tmp/hubble.yaml" >/dev/null 2>"$tmp/said" ||
		! grep -q "built without" "$tmp/said"
}

lines() {
	wc -l <"$tmp/flows"
}

subscribers() {
	clite status -o json | query 'd["subscribers"]'
}

agree() {
	scrape >"$tmp/after" && python3 "$root/tests/integration/flow_counts.py" "$tmp/flows" "$1" "$tmp/before" "$tmp/after"
}

# The daemon and the monitor see the same flows: each metric is what their JSON says.
counts_flows() {
	local skip
	sed -i '/^hubble-metrics/d' "$config"
	printf '%s\n' "hubble-metrics: ['drop:sourceContext=pod;destinationContext=pod|ip', flow, icmp," \
		"  'policy:labelsContext=source_app,traffic_direction', port-distribution, tcp, 'flows-to-world:port']" >>"$config"
	reload "reading" && ! logged "stays as it was" || return
	background flows host "$BUILD/tools/clite/clite" monitor -o json
	monitor=$pid
	wait_for prints 2 subscribers && scrape >"$tmp/before" || return
	skip=$(lines)
	get red "$(address4 2)" >/dev/null && get red "$(address6 2)" >/dev/null && ask red "$(address4 2)" >/dev/null &&
		ping_to red "$(address6 2)" >/dev/null && ping_to blue "$(address4 1)" >/dev/null &&
		! ping_to green "$(address4 2)" -W 1 >/dev/null && ! get green "$(address6 1)" '' --max-time 1 2>/dev/null &&
		ping_to blue "$world4" >/dev/null && get red "$world4" >/dev/null || return
	wait_for agree "$skip" && becomes 0 hubble_lost_events_total source=perf_event_ring_buffer || {
		agree "$skip"
		return 1
	}
}

other_flows() {
	sed -i "s/'drop:[^']*'/drop/" "$config"
	reload "reading" && becomes none hubble_tcp_flags_total flag=SYN family=IPv4 || return
	! ping_to green "$(address4 2)" -W 1 >/dev/null
	# each packet that is dropped, and the verdict before
	wait_for value hubble_drop_total reason=POLICY_DENY protocol=ICMPv4 && [[ $(value hubble_drop_total reason=POLICY_DENY protocol=ICMPv4) -ge 2 ]] &&
		sed -i "s/, flow,/, flowers,/" "$config" && reload "stays as it was" &&
		logged "hubble-metrics: metric 'flowers' is none of drop, flow" && sed -i "s/, flowers,/, flow,/" "$config"
}

no_flows() {
	sed -i '/^hubble-metrics/,$d' "$config"
	reload "reading" && wait_for prints 0 subscribers && ! scrape | grep hubble_
}

# ---- HTTP ----------------------------------------------------------------------------

heads() {
	"${curl[@]}" --max-time 10 --head "http://$at/metrics" | tr -d '\r' >"$tmp/head"
	grep -qi '^content-length: [1-9]' "$tmp/head" && grep -q '^HTTP/1.1 200' "$tmp/head"
}

# Connections that send half a request, others that do not read, and one more than there may be:
# the daemon goes on checking, and answers others.
slow_clients() {
	background slow host python3 -c 'if True:
		import socket, sys
		kept = []
		for i in range(12):
			s = socket.create_connection(("127.0.0.1", 9962))
			if i % 2:
				s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
				s.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n" * 50)
			else:
				s.sendall(b"GET /metrics HTTP/1.1\r\nHost: ")
			kept.append(s)
		print("ready", flush=True)
		sys.stdin.read()
		import time
		time.sleep(600)'
	local slow=$pid status=0 checks
	wait_for grep -q ready "$tmp/slow" || return
	checks=$(grep -c ': bad: ' "$tmp/log")
	scrape >"$tmp/page" && grep -q cilium_version "$tmp/page" && wait_for logged_more $((checks + 5)) ': bad: '
	status=$?
	stop "$slow"
	return "$status"
}

# Many that come at once all get an answer, or are turned away; then all is well.
many_clients() {
	python3 -c 'if True:
		import socket
		kept = []
		for i in range(200):
			s = socket.create_connection(("127.0.0.1", 9962), timeout=5)
			kept.append(s)
		for s in kept:
			s.close()' && wait_for scrape -o /dev/null
}

garbage() {
	head -c 100000 /dev/urandom | timeout 20 python3 -c 'if True:
		import socket, sys
		s = socket.create_connection(("127.0.0.1", 9962), timeout=10)
		try: # it may close when it has seen enough
			s.sendall(sys.stdin.buffer.read())
			s.shutdown(socket.SHUT_WR)
			while s.recv(65536):
				pass
		except OSError:
			pass' && scrape -o /dev/null
}

# ---- where ---------------------------------------------------------------------------

elsewhere() {
	sed -i "s/^metrics.*/metrics: '127.0.0.1:9963'/" "$config"
	reload "metrics at 127.0.0.1:9963" && refused scrape 2>/dev/null || return
	at=127.0.0.1:9963
	scrape -o /dev/null
}

# From one address to all of the same port, and back.
overlapping() {
	sed -i "s/^metrics.*/metrics: ':9963'/" "$config"
	reload "metrics at :9963" && scrape -o /dev/null && scrape_at "[::1]:9963" &&
		scrape_at "$host4:9963" || return
	sed -i "s/^metrics.*/metrics: '127.0.0.1:9963'/" "$config"
	reload "metrics at 127.0.0.1:9963" && scrape -o /dev/null && refused scrape_at "$host4:9963" 2>/dev/null
}

# What is taken stays somebody else's, and the configuration stays as it was.
taken() {
	background other host python3 -c 'if True:
		import socket, time
		s = socket.create_server(("127.0.0.1", 9964))
		print("ready", flush=True)
		time.sleep(600)'
	local other=$pid status=0
	wait_for grep -q ready "$tmp/other" || return
	sed -i "s/^metrics.*/metrics: '127.0.0.1:9964'/; s/100ms/200ms/" "$config"
	reload "stays as it was" && logged "metrics: cannot listen at 127.0.0.1:9964: Address already in use" &&
		scrape -o /dev/null && fails 1 "cannot listen at 127.0.0.1:9964" --metrics 127.0.0.1:9964
	status=$?
	stop "$other"
	sed -i "s/^metrics.*/metrics: '127.0.0.1:9963'/" "$config"
	return "$status"
}

# Two daemons never share a port.
not_shared() {
	fails 1 "cannot listen at $at: Address already in use" --metrics "$at"
}

unix_socket() {
	sed -i "s|^metrics.*|metrics: unix://$tmp/metrics.sock|" "$config"
	reload "metrics at unix:" && scrape --unix-socket "$tmp/metrics.sock" >"$tmp/page" &&
		grep -q '^cilium_version' "$tmp/page" && refused scrape 2>/dev/null || return
	kill -KILL "$daemon"
	wait "$daemon" 2>/dev/null
	[[ -S $tmp/metrics.sock ]] || return
	start_clited --config "$config"
	scrape --unix-socket "$tmp/metrics.sock" -o /dev/null &&
		fails 1 "Address already in use" --metrics "unix:$tmp/metrics.sock" &&
		fails 1 "Address already in use" --metrics "unix:$config" && [[ -f $config ]] &&
		stop_clited && [[ ! -e $tmp/metrics.sock ]]
}

taken_away() {
	sed -i '/^metrics/d' "$config"
	start_clited --config "$config"
	refused scrape 2>/dev/null && echo "metrics: '127.0.0.1:9963'" >>"$config" &&
		reload "metrics at" && scrape -o /dev/null && sed -i '/^metrics/d' "$config" &&
		reload "metrics are not served any more" && refused scrape 2>/dev/null && stop_clited
}

# A port below 1024, and no configuration at all.
privileged() {
	at=127.0.0.1:62
	start_clited --metrics "$at" --user nobody
	prints "$(id -u nobody)" awk '/^Uid:/ { print $2 }' "/proc/$daemon/status" &&
		value cilium_endpoint && kill -HUP "$daemon" && wait_for logged "reading" && scrape -o /dev/null && stop_clited
}

gone() {
	at=127.0.0.1:9962
	start_clited --metrics "$at"
	clite instance delete default >/dev/null
	local status=0
	# whoever asks makes it notice, if it has not yet
	scrape -o /dev/null 2>/dev/null
	wait "$daemon" || status=$?
	[[ $status -eq 3 ]] && logged "the instance 'default' was destroyed"
}

# ---- the stage -----------------------------------------------------------------------

make_host
make_world
workload red 1
workload blue 2
workload green 3
clite instance create default >/dev/null || die "cannot create an instance"
for name in red:1 blue:2 green:3; do endpoint "${name%:*}" "${name#*:}"; done
{ allow blue blue red green; allow red red blue; } | import
# A check that never ends well, so that the log shows that it goes on.
printf '%s\n' "health-checks:" "- services: ['*']" "  interval: 100ms" "metrics: $at" >"$config"
start_clited --config "$config"

check "forwarded packets" forwards
check "dropped packets" drops
check "endpoints, policies, services" objects
if command -v promtool >/dev/null; then
	check "promtool has nothing to say" linted
else
	echo "skip: no promtool"
fi
check "the type of the answer" prints "200
text/plain; version=0.0.4; charset=utf-8" answer GET /metrics Content-Type
check "a query is not looked at" prints 200 answer GET "/metrics?name=x"
check "HEAD" heads
check "another path" prints 404 answer GET /
check "another method" prints "405
GET, HEAD" answer DELETE /metrics Allow
check "a method with a body" prints 405 answer POST /metrics
if have_hubble; then
	serve blue world
	check "flows are counted" counts_flows
	if command -v promtool >/dev/null; then
		check "promtool has nothing to say of flows" linted
	fi
	check "counting others" other_flows
	stop "$monitor"
	check "counting none" no_flows
else
	echo "skip: the build has no libcilium-lite-hubble"
fi
clite service update --frontend 10.96.0.2:80 --backends 10.77.0.1 >/dev/null
check "slow clients" slow_clients
check "many clients" many_clients
check "no HTTP" garbage
check "another address" elsewhere
check "an address of the same port" overlapping
check "an address that is taken" taken
check "two daemons at one port" not_shared
check "a Unix socket" unix_socket
at=127.0.0.1:9963
check "no metrics any more" taken_away
check "a port below 1024, another user, no configuration" privileged
check "no instance any more" gone
check "what is no address" fails 2 "--metrics: ADDRESS:PORT, [ADDRESS]:PORT, :PORT or unix:/PATH, not 9962" --metrics 9962
done_testing

#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# Services under load: while back ends are restarted, come and go, each request is
# accounted for. From the world to endpoints and to other hosts, and from an endpoint.
# shellcheck disable=SC2317,SC2015 # functions are called by name
# shellcheck source=tests/integration/lib.sh
. "$(dirname "$0")/lib.sh"

vip4=203.0.113.80 vip6=2001:db8:f::80      # back ends are endpoints
far4=203.0.113.81 far6=2001:db8:f::81      # back ends are other hosts
many4=203.0.113.82 many6=2001:db8:f::82    # a hundred of them
PATIENCE=30

node4() {
	echo "172.30.$1.9"
}

node6() {
	echo "2001:db8:30:$1::9"
}

# A host on a link of its own, which knows no way but to the balancer: node NUMBER
node() {
	make_ns "node$1"
	ip link add "link$1" type veth peer name eth0 netns "node$1" &&
		ip link set dev "link$1" up &&
		ip addr add "172.30.$1.1/24" dev "link$1" &&
		ip addr add "2001:db8:30:$1::1/64" dev "link$1" nodad &&
		ip -n "node$1" link set dev eth0 up &&
		ip -n "node$1" addr add "$(node4 "$1")/24" dev eth0 &&
		ip -n "node$1" addr add "$(node6 "$1")/64" dev eth0 nodad || die "cannot make node $1"
}

declare -A server

# run NAME NAMESPACE COMMAND...: load.py, until it is ready
run() {
	local name=$1 ns=$2

	shift 2
	background "$name" "$ns" python3 "$root/tests/integration/load.py" "$@"
	wait_for grep -q ready "$tmp/$name" || { echo "$name: $(cat "$tmp/$name")"; return 1; }
}

start() {
	run "$1.server" "$1" serve "$1" || return
	server[$1]=$pid
}

# ---- services -------------------------------------------------------------------

# One update of all services: back ends web1, node1... by number, and their states:
# backends "NUMBER..." [STATE,...] [OPTION]...
backends() {
	local states=${2-} n web4='' web6='' node4='' node6='' arguments=("${@:3}")

	[[ -z $states ]] || arguments+=(--states "$states")
	for n in $1; do
		web4+=,$(address4 $((10 + n))) web6+=,[$(address6 $((10 + n)))]
		node4+=,$(node4 "$n") node6+=,[$(node6 "$n")]
	done
	for n in 80/tcp 53/udp; do
		update "$vip4:$n" "${web4#,}" "${arguments[@]}" &&
			update "[$vip6]:$n" "${web6#,}" "${arguments[@]}" &&
			update "$far4:$n" "${node4#,}" "${arguments[@]}" &&
			update "[$far6]:$n" "${node6#,}" "${arguments[@]}" || return
	done
}

# update FRONTEND BACKENDS [OPTION]...
update() {
	clite service update --frontend "$1" --backends "$2" --kind LoadBalancer "${@:3}" >"$tmp/service.out" 2>&1 ||
		{ cat "$tmp/service.out"; return 1; }
}

# ---- load -----------------------------------------------------------------------

everything=$vip4,$vip6,$far4,$far6
declare -A loader

# begin NAME NAMESPACE [OPTION]...
begin() {
	local name=$1 ns=$2

	shift 2
	run "$name" "$ns" load --http "$everything" --udp "$everything" "$@" || die "no load"
	loader[$name]=$pid
}

rounds() {
	grep -c '^round' "$tmp/$1"
}

more_rounds() {
	[[ $(rounds "$1") -gt $2 ]]
}

# Until every connection of each load was answered what it asked from now on.
settle() {
	local name before

	for name in "${!loader[@]}"; do
		before=$(rounds "$name")
		kill -USR1 "${loader[$name]}"
		wait_for more_rounds "$name" "$before" || { echo "$name stands still"; return 1; }
	done
}

# The account of a load now, by an expression of Python: account NAME EXPRESSION
account() {
	tail -n 1 "$tmp/$1" | cut -d ' ' -f 2- | query "$2"
}

finish() {
	local name

	for name in "${!loader[@]}"; do
		kill "${loader[$name]}"
		wait "${loader[$name]}" 2>/dev/null
	done
	loader=()
}

# Nobody was refused, reset, forgotten: nothing_lost NAME
nothing_lost() {
	account "$1" '"\n".join(f"{k}: {v}" for k, v in d.items())'
	grep -q '^end' "$tmp/$1" &&
		[[ $(account "$1" 'sum(t["failed"] for t in d.values())') == 0 &&
			$(account "$1" 'min(t["answered"] for t in d.values())') -gt 0 ]]
}

# ---- restarts -------------------------------------------------------------------

drained() {
	grep -q '^drained' "$tmp/$1.server"
}

# One back end of each service: no new flows, its connections end, it ends, and comes again.
# Sockets of UDP that are kept end only with the back end.
restart() {
	local n=$1 name others=${2/$1/} states

	states=$(tr ' ' ',' <<<"${2//[!$n ]/active}")
	backends "$2" "${states/$n/terminating}" && settle || return
	for name in "web$n" "node$n"; do
		kill -USR1 "${server[$name]}"
	done
	for name in "web$n" "node$n"; do
		wait_for drained "$name" || { echo "$name is not drained"; return 1; }
	done
	backends "$others" && settle || return
	for name in "web$n" "node$n"; do
		stop "${server[$name]}"
		cat "$tmp/$name.server"
		grep -q '^served.*"late": 0' "$tmp/$name.server" || return
		start "$name" || return
	done
	backends "$2" && settle
}

restarts() {
	local n

	for n in 1 2 3; do
		restart "$n" "1 2 3" || return
	done
}

all_answer() {
	account "$1" 'sorted(k for k, t in d.items() if len(t["by"]) != 3)'
	[[ $(account "$1" 'all(len(t["by"]) == 3 for t in d.values())') == True ]]
}

# ---- back ends come and go --------------------------------------------------------

added() {
	backends "1 2 3" && settle && backends "1 2 3" "" --algorithm maglev && settle &&
		backends "3 2 1" "active,active,quarantined" --backend-weights 1,2,3 && settle && backends "1 2 3" && settle || return
	account "$1" '"\n".join(f"{k}: {v}" for k, v in d.items())'
	[[ $(account "$1" 'sum(t["failed"] + sum(t["moved"].values()) for t in d.values())') == 0 ]]
}

# Connections that are kept, all of the removed one and no others, are lost; of
# fresh ones no more than it had. Sockets of UDP, which has nothing to lose, are answered by
# another one.
removed() {
	local name

	cp "$tmp/$1" "$tmp/before" && backends "2 3" && settle || return
	stop "${server[web1]}" "${server[node1]}"
	python3 "$root/tests/integration/load.py" removed "$tmp/before" "$tmp/$1" \
		"$tmp/web1.server" "$tmp/node1.server" || return
	for name in web1 node1; do
		start "$name" || return
	done
}

# An answer that is under way when its back end goes still arrives, as the service's.
late() {
	local address=$1 back=$2 asker status=0

	background late.server "$3" python3 -c 'if True:
		import socket, sys
		s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
		s.bind(("::", 55))
		print("ready", flush=True)
		data, client = s.recvfrom(100)
		print("asked", flush=True)
		open(sys.argv[1]).read()
		s.sendto(data, client)' "$tmp/gate"
	rm -f "$tmp/gate" && mkfifo "$tmp/gate" && wait_for grep -q ready "$tmp/late.server" &&
		update "$(in_url "$address"):55/udp" "$(in_url "$back")" || return
	background late.client "$4" python3 "$root/tests/integration/net.py" ask "$address" --port 55 --timeout 5
	asker=$pid
	wait_for grep -q asked "$tmp/late.server" && update "$(in_url "$address"):55/udp" "$(in_url "$5")" || return
	echo >"$tmp/gate"
	wait "$asker" || status=$?
	cat "$tmp/late.client"
	return "$status"
}

# ---- iperf3 -----------------------------------------------------------------------

# measured ADDRESS SERVER [OPTION]...
measured() {
	local address=$1 name=$2

	shift 2
	background iperf "$name" iperf3 -s -1 --forceflush
	wait_for grep -q listening "$tmp/iperf" &&
		in_ns world timeout 30 iperf3 -J -c "$address" "$@" >"$tmp/iperf.json" ||
		{ cat "$tmp/iperf" "$tmp/iperf.json"; stop "$pid"; return 1; }
	wait "$pid"
	query 'd["end"].get("sum_received", d["end"].get("sum"))' <"$tmp/iperf.json"
	[[ $(query 'd["end"].get("sum_received", d["end"].get("sum"))["bytes"] > 1000000' <"$tmp/iperf.json") == True ]]
}

all_measured() {
	local protocol

	for protocol in tcp udp; do
		clite service update --frontend "$(in_url "$1"):5201/$protocol" --kind LoadBalancer --backends "$(in_url "$2")" \
			>/dev/null || return
	done
	measured "$1" "$3" -n 50M && measured "$1" "$3" -n 50M -R &&
		measured "$1" "$3" -u -b 100M -n 5M && measured "$1" "$3" -u -b 100M -n 5M -R
}

# ---- wrk --------------------------------------------------------------------------

# A thousand connections to an address, while a back end comes: all are answered.
hammered() {
	local address=$1

	backends "1 2" || return
	background wrk world wrk -t 2 -c 1000 -d 4s --timeout 20s "http://$(in_url "$address")/"
	wait_for grep -q Running "$tmp/wrk" && backends "1 2 3" && wait "$pid" ||
		{ cat "$tmp/wrk"; return 1; }
	cat "$tmp/wrk"
	grep -Eq '^ +[1-9][0-9]* requests in' "$tmp/wrk" && ! grep -Eq 'Socket errors|Non-2xx' "$tmp/wrk"
}

# ---- Maglev -----------------------------------------------------------------------

# Node 1 has all of 172.30.100.0/24 and 2001:db8:30:100::/64.
make_many() {
	ip -n node1 route add local 172.30.100.0/24 dev lo &&
		ip -n node1 -6 route add local 2001:db8:30:100::/64 dev lo &&
		ip route add 172.30.100.0/24 via "$(node4 1)" &&
		ip -6 route add 2001:db8:30:100::/64 via "$(node6 1)" || die "cannot make back ends"
	run many node1 many || die "no server of many"
}

# hundred FAMILY LAST
hundred() {
	if [[ $1 == 4 ]]; then
		clite service update --frontend "$many4:54/udp" --kind LoadBalancer --algorithm maglev \
			--backends "$(seq -s , -f '172.30.100.%g' 1 "$2")"
	else
		clite service update --frontend "[$many6]:54/udp" --kind LoadBalancer --algorithm maglev \
			--backends "$(seq -s , -f '[2001:db8:30:100::%g]' 1 "$2")"
	fi >"$tmp/service.out" 2>&1
}

# Who answers 20,000 flows: flows FAMILY FILE
flows() {
	local address=$many4

	[[ $1 == 4 ]] || address=$many6
	in_ns world python3 "$root/tests/integration/load.py" flows "$address" | sort >"$2"
	[[ $(wc -l <"$2") -eq 20000 ]]
}

# Of the flows of other back ends than number 100: moved FILE FILE
moved() {
	join "$1" "$2" | awk '$2 !~ /[.:]100$/ { all++; if ($2 != $3) moved++ }
		END { print moved + 0, all + 0 }'
}

# By the flow table no other flow moves at all; by the table of back ends alone less than 2%.
consistent() {
	local moved all

	hundred "$1" 100 && flows "$1" "$tmp/before" || return
	[[ $(cut -d ' ' -f 2 "$tmp/before" | sort -u | wc -l) -eq 100 ]] || return
	hundred "$1" 99 && flows "$1" "$tmp/kept" || return
	read -r moved all < <(moved "$tmp/before" "$tmp/kept")
	echo "$moved of $all moved, with the flow table"
	[[ $moved -eq 0 ]] || return
	clite bpf ct flush >/dev/null && flows "$1" "$tmp/after" || return
	read -r moved all < <(moved "$tmp/before" "$tmp/after")
	echo "$moved of $all moved, without the flow table"
	[[ $all -gt 19000 && $((moved * 50)) -lt $all && $(grep -c '[.:]100$' "$tmp/after") -eq 0 ]]
}

# ---- run --------------------------------------------------------------------------

make_host
make_world
workload client 1
for n in 1 2 3; do
	workload "web$n" $((10 + n))
	node "$n"
	start "web$n" && start "node$n" || die "no servers"
done
clite instance create default >/dev/null || die "cannot create an instance"
for device in uplink link1 link2 link3; do
	clite device attach "$device" >/dev/null || die "cannot attach $device"
done
clite masquerade --ipv4 on --ipv6 on >/dev/null || die "cannot masquerade"
endpoint client 1
for n in 1 2 3; do
	endpoint "web$n" $((10 + n))
done
# Few ports, so that new connections meet the flows of old ones.
for ns in world client; do
	in_ns "$ns" sh -c 'echo 40000 41999 >/proc/sys/net/ipv4/ip_local_port_range'
done

backends "1 2 3" || die "cannot make services"
begin from-world world
begin from-endpoint client
check "every back end restarts under load" restarts
finish
for name in from-world from-endpoint; do
	check "no request failed, $name" nothing_lost "$name"
	check "all back ends answered, $name" all_answer "$name"
done

in_ns world sh -c 'echo 20000 59999 >/proc/sys/net/ipv4/ip_local_port_range'
backends "1 2" || die "cannot update services"
begin thousands world --kept 500 --fresh 5 --pause 0.3
check "back ends that come: no connection is lost" added thousands
check "a back end that goes: its connections are lost, and no others" removed thousands
finish

for from in world client; do
	check "a late answer of a back end that went, $from to an endpoint, IPv4" late $vip4 "$(address4 11)" web1 "$from" "$(address4 12)"
	check "a late answer of a back end that went, $from to an endpoint, IPv6" late $vip6 "$(address6 11)" web1 "$from" "$(address6 12)"
	check "a late answer of a back end that went, $from to another host, IPv4" late $far4 "$(node4 1)" node1 "$from" "$(node4 2)"
	check "a late answer of a back end that went, $from to another host, IPv6" late $far6 "$(node6 1)" node1 "$from" "$(node6 2)"
done
check "iperf3, to an endpoint, IPv4" all_measured $vip4 "$(address4 11)" web1
check "iperf3, to an endpoint, IPv6" all_measured $vip6 "$(address6 11)" web1
check "iperf3, to another host, IPv4" all_measured $far4 "$(node4 2)" node2
check "iperf3, to another host, IPv6" all_measured $far6 "$(node6 2)" node2
for address in $vip4 $vip6 $far4 $far6; do
	check "wrk, a thousand connections to $address" hammered "$address"
done

make_many
for f in 4 6; do
	check "IPv$f: 1 of 100 back ends goes: Maglev moves less than 2% of the others' flows" consistent "$f"
done
done_testing

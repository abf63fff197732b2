#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# Direct server return: a balancer and a node with the back end, each with an instance in a
# network namespace of its own. The node's way to the client does not lead by the balancer.
#
#   client -- router -- balancer (this host)
#                |          |
#                +------- node -- web
# shellcheck disable=SC2317,SC2015,SC2016 # functions are called by name
# shellcheck source=tests/integration/lib.sh
. "$(dirname "$0")/lib.sh"

vip4=203.0.113.80 vip6=2001:db8:f::80
client4=198.51.100.9 client6=2001:db8:100::9
web4=10.88.0.21 web6=fd88::21
inner4=172.30.0.1 inner6=2001:db8:30::1
denied=133

node() {
	in_ns node "$tool" -i node "$@"
}

forward='echo 1 >/proc/sys/net/ipv4/ip_forward && echo 1 >/proc/sys/net/ipv6/conf/all/forwarding'

# link NS DEVICE IPV4/LEN IPV6/LEN NS DEVICE IPV4/LEN IPV6/LEN
link() {
	in_ns "$1" ip link add "$2" type veth peer name "$6" netns "$([[ $5 == host ]] && echo $$ || echo "$5")" || return
	while [[ $# -gt 0 ]]; do
		in_ns "$1" ip link set "$2" up && in_ns "$1" ip addr add "$3" dev "$2" &&
			in_ns "$1" ip addr add "$4" dev "$2" nodad || return
		shift 4
	done
}

# route NS GATEWAY4 GATEWAY6 [TO4 TO6]
route() {
	in_ns "$1" ip route add "${4:-default}" via "$2" && in_ns "$1" ip -6 route add "${5:-default}" via "$3"
}

make_stage() {
	local ns

	for ns in client router node web; do make_ns "$ns"; done
	in_ns router sh -c "$forward" && in_ns node sh -c "$forward" &&
		link client eth0 $client4/24 $client6/64 router c0 198.51.100.1/24 2001:db8:100::1/64 &&
		link host uplink 192.0.2.11/24 2001:db8:2::11/64 router b0 192.0.2.254/24 2001:db8:2::fe/64 &&
		link node out 192.0.3.9/24 2001:db8:3::9/64 router n0 192.0.3.254/24 2001:db8:3::fe/64 &&
		link host inner $inner4/24 $inner6/64 node inner 172.30.0.9/24 2001:db8:30::9/64 &&
		link web eth0 $web4/32 $web6/128 node web 169.254.9.9/32 fe80::9/128 &&
		in_ns web ip route add default via $gateway4 dev eth0 onlink &&
		in_ns web ip -6 route add default via $gateway6 dev eth0 &&
		in_ns node ip route add $web4 dev web && in_ns node ip -6 route add $web6 dev web &&
		route client 198.51.100.1 2001:db8:100::1 &&
		route host 192.0.2.254 2001:db8:2::fe &&
		route host 172.30.0.9 2001:db8:30::9 10.88.0.0/24 fd88::/64 &&
		route node 192.0.3.254 2001:db8:3::fe &&
		route router 192.0.2.11 2001:db8:2::11 $vip4 $vip6 &&
		route router 192.0.3.9 2001:db8:3::9 10.88.0.0/24 fd88::/64 || die "cannot make the stage"
}

# The services of the address: TCP 80 and UDP 53, to ports that differ.
service() {
	local port

	for port in 80/tcp 53/udp; do
		clite service update --frontend "$(in_url "$vip"):$port" --mode dsr \
			--backends "$(in_url "$web"):80${port%/*}" >"$tmp/service.out" 2>&1 ||
			die "cannot update a service: $(cat "$tmp/service.out")"
	done
}

family() {
	if [[ $1 == 4 ]]; then
		vip=$vip4 client=$client4 web=$web4
	else
		vip=$vip6 client=$client6 web=$web6
	fi
}

new_instances() {
	clite instance create default "$@" >/dev/null && clite device attach uplink >/dev/null &&
		node instance create node "$@" >/dev/null && node device attach inner --dsr >/dev/null &&
		node device attach out >/dev/null || die "cannot create the instances"
	node endpoint add web --ipv4 $web4 --ipv6 $web6 -l k8s:app=web --id 21 >"$tmp/endpoint.out" 2>&1 ||
		die "cannot add the endpoint: $(cat "$tmp/endpoint.out")"
}

answered() {
	prints "web $client" get client "$vip" && prints "web $client" ask client "$vip"
}

# Packets that a device has got: received NS DEVICE
received() {
	in_ns "$1" ip -j -s link show dev "$2" | query 'd[0]["stats64"]["rx"]["packets"]'
}

# 3 MB of answers go by the node's own way, and nothing of it to the balancer.
past_the_balancer() {
	local balancer router

	balancer=$(received host inner) router=$(received router n0)
	[[ $(get client "$vip" 3000000 | wc -c) -eq 3000000 ]] || return
	ask client "$vip" --count 50 >/dev/null || return
	balancer=$(($(received host inner) - balancer)) router=$(($(received router n0) - router))
	echo "answers by the balancer: $balancer, by the router: $router"
	# neighbours may be asked for
	[[ $balancer -le 4 && $router -ge 90 ]]
}

upload() {
	prints 3000000 get client "$vip" x -T <(head -c 3000000 /dev/zero) -H 'Content-Length: 3000000' \
		-H 'Transfer-Encoding:'
}

# Of a flow the balancer has one entry, the node two, of which one says the service.
listed() {
	clite bpf ct flush >/dev/null && node bpf ct flush >/dev/null && answered || return
	clite bpf ct list -o json >"$tmp/balancer" && node bpf ct list -o json >"$tmp/node" || return
	prints 2 query 'len([f for f in d if f["destination"]["ip"] == sys.argv[2] and "DSR" in f["flags"]])' "$vip" \
		<"$tmp/balancer" && prints 2 query 'len(d)' <"$tmp/balancer" &&
		prints 4 query 'len([f for f in d if "DSR" in f["flags"]])' <"$tmp/node" &&
		prints "[53, 80]" query 'sorted(f["nat-source"]["port"] for f in d if f.get("nat-source", {}).get("ip") == sys.argv[2])' \
			"$vip" <"$tmp/node"
}

# Subscribers of both hear of the service.
monitored() {
	local balancer status=0

	clite bpf ct flush >/dev/null && node bpf ct flush >/dev/null
	background balancer.events host "$tool" monitor -t trace -n 1
	balancer=$pid
	background node.events node "$tool" -i node monitor -t trace -n 2
	wait_for grep -q Listening "$tmp/balancer.events" && wait_for grep -q Listening "$tmp/node.events" &&
		ask client "$vip" >/dev/null && wait "$balancer" && wait "$pid" || status=1
	stop "$balancer" "$pid"
	cat "$tmp/balancer.events" "$tmp/node.events"
	grep -qF "$(in_url "$web"):8053 (world-ipv$f) to-network FORWARDED (UDP) service=$(in_url "$vip"):53" \
		"$tmp/balancer.events" &&
		grep -q -- "-> web:8053 (ID:256) to-endpoint" "$tmp/node.events" &&
		grep -qF -- "<- web:8053 (ID:256) to-network FORWARDED (UDP) service=$(in_url "$vip"):53" "$tmp/node.events" &&
		return "$status"
}

# The node's policy is about the client, whoever sent its packets on.
judged() {
	local before

	before=$(node bpf metrics list -o json | query "sum(m['packets'] for m in d if m['code'] == $denied)")
	node policy import - >/dev/null <<YAML || return
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: judged}
spec:
  endpointSelector: {matchLabels: {app: web}}
  ingress: [{fromCIDR: [192.0.2.0/24, "2001:db8:2::/64", 172.30.0.0/24, "2001:db8:30::/64", $vip4/32, "$vip6/128"]}]
YAML
	refused ask client "$vip" --timeout 0.3 && LIMIT=0.5 refused get client "$vip" &&
		[[ $(node bpf metrics list -o json | query "sum(m['packets'] for m in d if m['code'] == $denied)") -ge $((before + 2)) ]] &&
		node policy delete judged >/dev/null && answered
}

# Ask an address with an option that names a service; print who answers: spoof ADDRESS PORT SERVICE PORT
spoof() {
	in_ns client python3 -c 'if True:
		import socket, struct, sys
		address, port, vip, vport = sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4])
		if ":" in address:
			s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
			s.setsockopt(socket.IPPROTO_IPV6, 59, bytes((0, 2, 0x1b, 20)) + socket.inet_pton(socket.AF_INET6, vip)
				+ struct.pack("!HH", vport, 0))
		else:
			s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
			s.setsockopt(socket.IPPROTO_IP, socket.IP_OPTIONS,
				struct.pack("<BBHI", 0x9a, 8, vport, int.from_bytes(socket.inet_aton(vip), "big")))
		s.settimeout(3)
		s.sendto(b"?" * 64, (address, port))
		data, who = s.recvfrom(1000)
		print(data.decode().strip(), who[0], who[1])' "$@"
}

# By the uplink that is not to believe it, and by one that is.
spoofed() {
	prints "web $client $web 8053" spoof "$web" 8053 "$vip" 53 &&
		prints "web $client $web 8053" spoof "$web" 8053 "$client" 4000 || return
	node device detach out >/dev/null && node device attach out --dsr >/dev/null &&
		prints "web $client $vip 53" spoof "$web" 8053 "$vip" 53 || return
	node device detach out >/dev/null && node device attach out >/dev/null &&
		prints "web $client $web 8053" spoof "$web" 8053 "$vip" 53
}

# A first datagram that is too long with the option: the client is told, and sends it in pieces.
long_datagrams() {
	local size=$((_mtu - (${#vip} > 12 ? 48 : 28)))

	in_ns client sh -c 'ip route flush cache; ip -6 route flush cache'
	ask client "$vip" --size 1400 >/dev/null && refused ask client "$vip" --size "$size" --timeout 0.5 >/dev/null &&
		prints "web $client" ask client "$vip" --size "$size" && in_ns client ip route get "$vip" >"$tmp/route"
	cat "$tmp/route"
	grep -q "mtu 14" "$tmp/route"
}

path_mtu() {
	local status=0

	ip link set inner mtu 1300 && upload && prints "web $client" ask client "$vip" --size 1200 || status=$?
	ip link set inner mtu 1500
	in_ns client sh -c 'ip route flush cache; ip -6 route flush cache'
	return "$status"
}

# A router between node and client takes less than what the endpoint sends: it tells the
# service's address, and so the balancer, which sends that on.
path_mtu_back() {
	local status=0

	in_ns router ip link set c0 mtu 1300 && [[ $(get client "$vip" 3000000 | wc -c) -eq 3000000 ]] &&
		in_ns web ip route get "$client" >"$tmp/route" || status=$?
	cat "$tmp/route"
	grep -q 'mtu 1300' "$tmp/route" || status=1
	in_ns router ip link set c0 mtu 1500
	in_ns web sh -c 'ip route flush cache; ip -6 route flush cache'
	return "$status"
}

# Offloaded segments: a first packet that is many, each of which has the option.
segments() {
	clite bpf ct flush >/dev/null && node bpf ct flush >/dev/null
	prints "3 datagrams from $vip" in_ns client python3 -c 'if True:
		import socket, sys
		s = socket.socket(socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET, socket.SOCK_DGRAM)
		s.setsockopt(socket.IPPROTO_UDP, 103, 1000)
		s.settimeout(3)
		s.sendto(b"?" * 2500, (sys.argv[1], 53))
		got = [s.recvfrom(2000) for _ in range(3)]
		assert sorted(len(data) for data, _ in got) == [500, 1000, 1000]
		print(len(got), "datagrams from", " ".join({who[0] for _, who in got}))' "$vip"
}

# The balancer loses what it knows in the middle of a connection.
balancer_forgets() {
	local upload

	head -c 3000000 /dev/zero >"$tmp/body"
	background upload client "${curl[@]}" --max-time 20 --limit-rate 1500000 -T "$tmp/body" "http://$(in_url "$vip")/x"
	upload=$pid
	for _ in 1 2 3 4; do
		sleep 0.3
		clite bpf ct flush >/dev/null
	done
	wait "$upload"
	prints 3000000 cat "$tmp/upload"
}

# Nobody listens: the endpoint's error comes from the service.
unreachable() {
	clite service update --frontend "$(in_url "$vip"):7/udp" --mode dsr --backends "$(in_url "$web"):8007" >/dev/null || return
	prints "Connection refused by $vip about $vip" in_ns client python3 "$root/tests/integration/net.py" \
		unreachable "$vip"
}

# The node loses what it knows while a client goes on: it is told again.
told_again() {
	local one="--source-port 23456 --timeout 0.3"

	# shellcheck disable=SC2086 # several words
	ask client "$vip" --count 10 $one >/dev/null && node bpf ct flush >/dev/null &&
		refused ask client "$vip" $one >/dev/null && wait_for ask client "$vip" $one
}

# One connection over a change of what the node knows of policies.
goes_on() {
	local flow

	traffic flow client flow "$vip"
	flow=$pid
	for _ in 1 2 3; do
		service
		node policy import - >/dev/null <<'YAML'
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: any}
spec:
  endpointSelector: {matchLabels: {app: web}}
  ingress: [{fromEntities: [all]}]
YAML
		node policy delete any >/dev/null
	done
	stop "$flow"
	cat "$tmp/flow"
	grep -qx 'lost 0' "$tmp/flow"
}

# A back end that is an endpoint here: as ever.
here() {
	workload near 31
	background near.server near python3 "$root/tests/integration/net.py" serve near --tcp 8080 --udp 8053
	wait_for grep -q ready "$tmp/near.server" || return
	endpoint near 31
	for f in 4 6; do
		family "$f"
		web=$([[ $f == 4 ]] && address4 31 || address6 31)
		service
		prints "near $client" get client "$vip" && prints "near $client" ask client "$vip" || return
	done
}

_mtu=1500
make_host
make_stage
background web.server web python3 "$root/tests/integration/net.py" serve web --tcp 8080 --udp 8053
wait_for grep -q ready "$tmp/web.server" || die "no server: $(cat "$tmp/web.server")"

for mode in clsact tcx neigh; do
	case $mode in
	clsact) new_instances --clsact ;;
	tcx) new_instances ;;
	neigh) new_instances --neigh ;;
	esac
	for f in 4 6; do
		family "$f"
		service
		check "$mode, IPv$f: TCP and UDP, the endpoint sees the client" answered
		check "$mode, IPv$f: answers pass the balancer by" past_the_balancer
		check "$mode, IPv$f: what the client sends" upload
	done
	[[ $mode == neigh ]] || { clite instance delete default && node instance delete node; } >/dev/null
done
for f in 4 6; do
	family $f
	check "IPv$f: entries are listed" listed
	check "IPv$f: offloaded segments" segments
	check "IPv$f: events tell of the service" monitored
	check "IPv$f: a balancer that has forgotten" balancer_forgets
	check "IPv$f: the node's policy judges the client" judged
	check "IPv$f: options from outside" spoofed
	check "IPv$f: a long first datagram" long_datagrams
	check "IPv$f: a way to the node that takes less" path_mtu
	check "IPv$f: a way to the client that takes less" path_mtu_back
	check "IPv$f: unreachable is told by the service" unreachable
	check "IPv$f: a flow goes on over changes" goes_on
	check "IPv$f: a node that has forgotten is told again" told_again
done
check "a back end here is reached as ever" here
clite device detach uplink >/dev/null && clite device attach uplink --xdp-generic >/dev/null || die "cannot attach with XDP"
for f in 4 6; do
	family $f
	service
	check "IPv$f: XDP leaves it to tc" answered
done
done_testing

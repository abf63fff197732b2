#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# A balancer that hands clients' packets on in outer ones, and back ends that answer the
# clients themselves: at XDP by the driver and by the stack, and at tc without it.
# shellcheck disable=SC2317,SC2015 # functions are called by name
# shellcheck source=tests/integration/lib.sh
. "$(dirname "$0")/lib.sh"

vip4=203.0.113.80 vip6=2001:db8:80::80
client4=198.51.100.9 client6=2001:db8:100::9
no_backend=158

# The last number of a back end is that of its address on each link.
link4() {
	echo "10.88.$1.2"
}

link6() {
	echo "fd88:$1::2"
}

net() {
	local ns=$1

	shift
	in_ns "$ns" python3 "$root/tests/integration/net.py" "$@"
}

# One more port of the switch that joins uplink, client and the back end of one arm:
# port NAMESPACE DEVICE PORT
port() {
	ip link add "$2" netns "$1" type veth peer name "$3" netns switch &&
		ip -n switch link set "$3" master br0 up || die "cannot make port $3"
}

# Frames that come to a veth from XDP need somebody who takes them there: GRO, or for what
# its peer sends back (XDP_TX) a program. What leaves towards XDP must be whole: no sum and
# no segments are left to the device.
make_clients() {
	make_ns switch
	ip -n switch link add br0 type bridge && ip -n switch link set br0 up || die "no bridge"
	make_ns client
	ip link add uplink type veth peer name there netns switch &&
		ip -n switch link set there master br0 up || die "no uplink"
	ip link set uplink up && ip addr add 198.51.100.1/24 dev uplink &&
		ip addr add 2001:db8:100::1/64 dev uplink nodad || die "no addresses"
	port client eth0 client
	ip -n client link set eth0 up &&
		ip -n client addr add $client4/24 dev eth0 &&
		ip -n client addr add $client6/64 dev eth0 nodad &&
		ip -n client route add default via 198.51.100.1 &&
		ip -n client -6 route add default via 2001:db8:100::1 || die "no client"
	net client offload eth0 tx=0,tso=0,gso=0
	traffic switch.xdp switch xdp there
}

# What every back end has: the service's addresses and something that opens outer packets.
make_backend() {
	in_ns "$1" sh -c 'cd /proc/sys/net/ipv4/conf && echo 0 >all/rp_filter && echo 0 >default/rp_filter'
	ip -n "$1" addr add $vip4/32 dev lo && ip -n "$1" addr add $vip6/128 dev lo nodad
	traffic "$1.decap" "$1" decap tun0
	ip -n "$1" link set tun0 up || die "no tun in $1"
	in_ns "$1" sh -c 'echo 0 >/proc/sys/net/ipv4/conf/tun0/rp_filter'
	net "$1" offload eth0 gro=1
}

# Behind a device of its own: routed NAME NUMBER
routed() {
	make_ns "$1"
	ip link add "$1" type veth peer name eth0 netns "$1" && ip link set "$1" up &&
		ip addr add "10.88.$2.1/24" dev "$1" && ip addr add "fd88:$2::1/64" dev "$1" nodad &&
		ip -n "$1" link set eth0 up && ip -n "$1" addr add "$(link4 "$2")/24" dev eth0 &&
		ip -n "$1" addr add "$(link6 "$2")/64" dev eth0 nodad &&
		ip -n "$1" route add default via "10.88.$2.1" &&
		ip -n "$1" -6 route add default via "fd88:$2::1" || die "cannot make $1"
	make_backend "$1"
}

# On the uplink's own link: packets go back where they came from.
one_arm() {
	make_ns web3
	port web3 eth0 web3
	ip -n web3 link set eth0 up && ip -n web3 addr add 198.51.100.13/24 dev eth0 &&
		ip -n web3 addr add 2001:db8:100::13/64 dev eth0 nodad || die "cannot make web3"
	make_backend web3
}

backend4() {
	case $1 in
	web3) echo 198.51.100.13 ;;
	*) link4 "${1#web}" ;;
	esac
}

backend6() {
	case $1 in
	web3) echo 2001:db8:100::13 ;;
	*) link6 "${1#web}" ;;
	esac
}

# All four services: update MODE BACKEND...
update() {
	local mode=$1 name list4='' list6='' protocol

	shift
	for name; do
		list4+=${list4:+,}$(backend4 "$name")
		list6+=${list6:+,}[$(backend6 "$name")]
	done
	for protocol in 80/tcp 53/udp; do
		clite service update --frontend "$vip4:$protocol" --backends "$list4" --mode "$mode" \
			--algorithm maglev &&
			clite service update --frontend "[$vip6]:$protocol" --backends "$list6" \
				--mode "$mode" --algorithm maglev || return
	done >"$tmp/service.out" 2>&1 || die "cannot update a service: $(cat "$tmp/service.out")"
}

# Many connections, or datagrams each from another port: answered by all these back ends,
# which see the client itself: spread CLIENT "NAME..." COMMAND...
spread() {
	local source=$1 expected=$2 actual

	shift 2
	"$@" >"$tmp/answers" || { cat "$tmp/answers"; return 1; }
	sort "$tmp/answers" | uniq -c
	actual=$(sort -u "$tmp/answers" | awk -v source="$source" '$2 == source { printf "%s ", $1 } $2 != source')
	[[ $actual == "$expected " && $(wc -l <"$tmp/answers") -eq 32 ]]
}

tcp() {
	local url

	url="http://$(in_url "$1")/"
	# shellcheck disable=SC2046 # one argument each
	in_ns client "${curl[@]}" --max-time 20 -H 'Connection: close' $(yes "$url" | head -n 32)
}

udp() {
	ask client "$1" --count 32 --source-port 20000 --step 1
}

# What comes back needs no balancer; what goes there is at first too large for an outer packet.
download() {
	[[ $(get client "$1" 3000000 | wc -c) -eq 3000000 ]]
}

upload() {
	head -c 3000000 /dev/zero >"$tmp/upload"
	in_ns client ip route flush cache
	in_ns client "${curl[@]}" --max-time 20 -T "$tmp/upload" "http://$(in_url "$1")/"
}

all_spread() {
	check "$1: TCP, IPv4" spread $client4 "$2" tcp $vip4
	check "$1: UDP, IPv4" spread $client4 "$2" udp $vip4
	check "$1: TCP, IPv6" spread $client6 "$2" tcp $vip6
	check "$1: UDP, IPv6" spread $client6 "$2" udp $vip6
	check "$1: download, IPv4" download $vip4
	check "$1: download, IPv6" download $vip6
}

# Back ends come and go; the client's connections to one that stays do not care.
swaps() {
	local n flow

	update ipip web1
	traffic flow client flow "$1"
	flow=$pid
	for ((n = 0; n < 10; n++)); do
		update ipip web1 web2 && update gue web1 web2 web3 && update ipip web1 web3 || return
	done
	stop "$flow"
	cat "$tmp/flow"
	grep -qx 'lost 0' "$tmp/flow"
}

no_more() {
	local before

	before=$(drops "$no_backend")
	refused ask client "$1" --timeout 0.3 && LIMIT=0.5 refused get client "$1" &&
		[[ $(drops "$no_backend") -ge $((before + 2)) ]]
}

# Told once for a flow, by its first packet.
monitored() {
	background monitor host "$tool" monitor --type trace -o json
	wait_for sh -c "'$tool' status -o json | grep -q '\"subscribers\": 1'" || return
	ask client "$1" --source-port 31000 >/dev/null || return
	wait_for grep -q 31000 "$tmp/monitor" || { cat "$tmp/monitor"; return 1; }
	stop "$pid"
	[[ $(grep -c 31000 "$tmp/monitor") -eq 1 ]]
}

by() {
	clite status -o json | query 'd["xdp-native"], d["xdp-generic"]'
}

# run_mode NAME STATUS OPTION...
run_mode() {
	local name=$1 status=$2

	shift 2
	clite instance create default >/dev/null || die "cannot create an instance"
	clite device attach uplink "$@" >"$tmp/attach" 2>&1 || die "cannot attach: $(cat "$tmp/attach")"
	check "$name: who runs it" prints "$status" by
	update ipip web1 web2 web3
	all_spread "$name, IPIP" "web1 web2 web3"
	update gue web1 web2 web3
	all_spread "$name, GUE" "web1 web2 web3"
	update ipip web3
	check "$name: one arm" spread $client4 web3 tcp $vip4
	[[ $name == tc ]] || {
		check "$name: upload, IPv4" upload $vip4
		check "$name: upload, IPv6" upload $vip6
		check "$name: no answer is lost while others change, IPv4" swaps $vip4
		check "$name: no answer is lost while others change, IPv6" swaps $vip6
		update ipip web1 web2
		check "$name: a flow is told" monitored $vip4
	}
	update ipip
	check "$name: no back end, IPv4" no_more $vip4
	check "$name: no back end, IPv6" no_more $vip6
	check "$name: the balancer itself answers" ping_to client 198.51.100.1
}

again() {
	clite device detach uplink >/dev/null && prints '(0, 0)' by &&
		clite device attach uplink --xdp-generic >/dev/null && prints '(0, 1)' by &&
		update ipip web1 web2 web3 && spread "$client4" "web1 web2 web3" tcp "$vip4"
}

make_host
make_clients
routed web1 1
routed web2 2
one_arm
serve web1 web2 web3

run_mode tc '(0, 0)'
clite instance delete default >/dev/null
run_mode generic '(0, 1)' --xdp-generic
clite instance delete default >/dev/null
run_mode native '(1, 0)' --xdp --flows4 1000 --flows6 1000
check "detached and attached again by another process" again
done_testing

#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# Services in front of real servers: spread, kept, changed under traffic, translated
# back, also what ICMP says.
# shellcheck disable=SC2317,SC2015 # functions are called by name
# shellcheck source=tests/integration/lib.sh
. "$(dirname "$0")/lib.sh"

service4=10.96.0.80 service6=fd96::80
no_backend=158

# All four services at once: update ALGORITHM BACKEND-NUMBER...
update() {
	local algorithm=$1 n list4=() list6=()

	shift
	for n; do
		list4+=("$(address4 "$n")") list6+=("[$(address6 "$n")]")
	done
	update_to "$algorithm" "$(comma "${list4[@]}")" "$(comma "${list6[@]}")"
}

comma() {
	local IFS=,

	echo "$*"
}

# update_to ALGORITHM BACKENDS4 BACKENDS6
update_to() {
	{
		clite service update --frontend "$service4:80/tcp" --backends "$2" --algorithm "$1" &&
			clite service update --frontend "$service4:53/udp" --backends "$2" --algorithm "$1" &&
			clite service update --frontend "[$service6]:80/tcp" --backends "$3" --algorithm "$1" &&
			clite service update --frontend "[$service6]:53/udp" --backends "$3" --algorithm "$1"
	} >"$tmp/service.out" 2>&1 || die "cannot update a service: $(cat "$tmp/service.out")"
}

# Who answers: many connections, many datagrams, each from another port.
askers_tcp() {
	local url

	url="http://$(in_url "$1")/"
	# shellcheck disable=SC2046 # one argument each
	in_ns client "${curl[@]}" --max-time 20 -H 'Connection: close' $(yes "$url" | head -n 24)
}

askers_udp() {
	ask client "$1" --count 24 --source-port 20000 --step 1
}

# The answers are these back ends', all of them, to the client's address:
# spread ADDRESS-OF-CLIENT "NAME..." COMMAND...
spread() {
	local source=$1 expected=$2 actual

	shift 2
	"$@" >"$tmp/answers" || { cat "$tmp/answers"; return 1; }
	actual=$(sort -u "$tmp/answers" | awk -v source="$source" '$2 == source { printf "%s ", $1 } $2 != source')
	sort "$tmp/answers" | uniq -c
	[[ $actual == "$expected " && $(wc -l <"$tmp/answers") -eq 24 ]]
}

all_spread() {
	check "$1: TCP, IPv4" spread "$(address4 1)" "$2" askers_tcp $service4
	check "$1: TCP, IPv6" spread "$(address6 1)" "$2" askers_tcp $service6
	check "$1: UDP, IPv4" spread "$(address4 1)" "$2" askers_udp "$service4"
	check "$1: UDP, IPv6" spread "$(address6 1)" "$2" askers_udp "$service6"
}

# ---- which back end ---------------------------------------------------------------

# All datagrams of a flow get the same back end; 1 in 2^9 would happen by chance.
kept() {
	ask client "$1" --count 10 --source-port 30000 >"$tmp/answers" || return
	cat "$tmp/answers"
	[[ $(sort -u "$tmp/answers" | wc -l) -eq 1 ]]
}

# By Maglev it is the same also when the flow table forgot, and nearly always when another
# back end goes.
consistent() {
	local moved

	clite bpf ct flush
	askers_udp "$1" >"$tmp/before" && clite bpf ct flush && askers_udp "$1" >"$tmp/after" &&
		diff "$tmp/before" "$tmp/after" || return
	update maglev 11 12
	clite bpf ct flush && askers_udp "$1" >"$tmp/after" || return
	moved=$(paste "$tmp/before" "$tmp/after" | awk '$1 != "web3" && $1 != $3' | wc -l)
	update maglev 11 12 13
	echo "$moved moved that need not"
	[[ $moved -le 3 ]]
}

no_more() {
	local before

	before=$(drops "$no_backend")
	refused ask client "$1" --timeout 0.3 && LIMIT=0.5 refused get client "$1" &&
		[[ $(drops "$no_backend") -ge $((before + 2)) ]]
}

states() {
	clite service update --frontend "$service4:53/udp" --states active,terminating \
		--backends "$(address4 11),$(address4 12)" >/dev/null || return
	spread "$(address4 1)" web1 askers_udp "$service4" || return
	# All are about to go: better one of these than none.
	clite service update --frontend "$service4:53/udp" --states terminating,quarantined \
		--backends "$(address4 11),$(address4 12)" >/dev/null || return
	spread "$(address4 1)" web1 askers_udp "$service4" &&
		clite policy trace --src client --dst "$service4" --dport 53/udp | grep -q "$(address4 11)"
}

# ---- changes under traffic ----------------------------------------------------------

size_of() {
	stat -c %s "$1" 2>/dev/null || echo 0
}

all_running() {
	local n

	for ((n = 0; n < 8; n++)); do
		[[ $(size_of "$tmp/rest$n") -gt 50000 ]] || return
	done
}

# Each of these transfers gets another megabyte: all_grow NUMBER...
all_grow() {
	local n before

	for n; do
		before=$(size_of "$tmp/rest$n")
		wait_for grows "$n" "$before" || return
	done
}

grows() {
	[[ $(size_of "$tmp/rest$1") -gt $(($2 + 1000000)) ]]
}

sizes() {
	local n

	for n; do size_of "$tmp/rest$n"; done
}

# Transfers without an end are spread over three back ends; one goes: its transfers get nothing
# any more, the others go on.
update_under_traffic() {
	local address=$1 url n pids=() status=0 left=() gone=() before

	url="http://$(in_url "$address")"
	rm -f "$tmp"/name* "$tmp"/rest*
	for ((n = 0; n < 8; n++)); do
		background "curl$n" client "${curl[@]}" --max-time 60 --limit-rate 4M \
			-o "$tmp/name$n" "$url/" -o "$tmp/rest$n" "$url/endless"
		pids+=("$pid")
	done
	wait_for all_running && update random 11 12 || status=1
	for ((n = 0; n < 8; n++)); do
		if [[ $(cat "$tmp/name$n") == web3* ]]; then gone+=("$n"); else left+=("$n"); fi
	done
	# What was on its way comes first.
	all_grow "${left[@]}" && before=$(sizes "${gone[@]}") && all_grow "${left[@]}" &&
		[[ $(sizes "${gone[@]}") == "$before" ]] || status=1
	stop "${pids[@]}"
	for ((n = 0; n < 8; n++)); do
		echo "$(cat "$tmp/name$n"): $(size_of "$tmp/rest$n") bytes, $(cat "$tmp/curl$n")"
	done
	update random 11 12 13
	[[ $status -eq 0 && ${#left[@]} -gt 0 ]]
}

# Back ends change again and again, the client's connections to the one that stays do not care.
swaps() {
	local n flow

	update random 11
	traffic flow client flow "$1"
	flow=$pid
	for ((n = 0; n < 20; n++)); do
		update_one "$1" 11 12 && update_one "$1" 11 13 || return
	done
	stop "$flow"
	cat "$tmp/flow"
	update random 11 12 13
	grep -qx 'lost 0' "$tmp/flow"
}

update_one() {
	local address=$1 n list=()

	shift
	for n; do
		case $address in
		*:*) list+=("[$(address6 "$n")]") ;;
		*) list+=("$(address4 "$n")") ;;
		esac
	done
	clite service update --frontend "$(in_url "$address"):53/udp" --backends "$(comma "${list[@]}")" >/dev/null
}

# ---- what is not TCP or UDP of a client -----------------------------------------------

port_unreachable() {
	clite service update --frontend "$(in_url "$1"):7/udp" --backends "$(in_url "$2")" >/dev/null || return
	prints "Connection refused by $1 about $1" in_ns client python3 "$root/tests/integration/net.py" unreachable "$1"
}

deleted() {
	clite service delete --all && prints '[]' clite service list -o json && prints '[]' clite bpf lb list -o json &&
		refused ask client "$service4" --timeout 0.3 && refused ask client "$service6" --timeout 0.3
}

policy_at_backend() {
	allow web web1 nobody | import
	update random 11
	refused ask client "$service4" --timeout 0.3 && [[ $(drops 133) -gt 0 ]] || return
	allow web web1 client | import
	prints "web1 $(address4 1)" ask client "$service4"
	clite policy delete --all
}

run_mode() {
	mode=$1
	shift
	clite instance create default "$@" >/dev/null || die "cannot create an instance"
	endpoint client 1
	endpoint web1 11
	endpoint web2 12
	endpoint web3 13
	update random 11 12 13
	all_spread "$mode: random" "web1 web2 web3"
	update maglev 11 12 13
	all_spread "$mode: maglev" "web1 web2 web3"
}

make_host
make_world
workload client 1
workload web1 11
workload web2 12
workload_tap web3 13
serve web1 web2 web3 world

run_mode clsact --clsact
clite instance delete default >/dev/null
run_mode tcx
check "a flow keeps its back end, IPv4" kept $service4
check "a flow keeps its back end, IPv6" kept $service6
check "Maglev is consistent, IPv4" consistent $service4
check "Maglev is consistent, IPv6" consistent $service6
check "a terminating back end gets no new flows" states
update random 11 12 13
check "update while connections run, IPv4" update_under_traffic $service4
check "update while connections run, IPv6" update_under_traffic $service6
check "no answer is lost while others change, IPv4" swaps $service4
check "no answer is lost while others change, IPv6" swaps $service6
update random 11
check "hairpin, TCP, IPv4" prints "web1 169.254.42.1" get web1 $service4
check "hairpin, UDP, IPv4" prints "web1 169.254.42.1" ask web1 $service4
check "hairpin, TCP, IPv6" prints "web1 fe80::1" get web1 $service6
check "hairpin, UDP, IPv6" prints "web1 fe80::1" ask web1 $service6
update_to random "$world4" "[$world6]"
check "back end in the world, IPv4" prints "world $(address4 1)" get client $service4
check "back end in the world, IPv6" prints "world $(address6 1)" ask client "$service6"
clite device attach uplink >/dev/null || die "cannot attach the uplink"
check "back end behind an attached uplink, IPv4" prints "world $(address4 1)" ask client "$service4"
check "back end behind an attached uplink, IPv6" prints "world $(address6 1)" get client $service6
check "large datagrams, IPv4" prints "world $(address4 1)" ask client "$service4" --size 20000
check "large datagrams, IPv6" prints "world $(address6 1)" ask client "$service6" --size 20000
check "policy is about the back end" policy_at_backend
check "port unreachable is told by the service, IPv4" port_unreachable $service4 "$(address4 11)"
check "port unreachable is told by the service, IPv6" port_unreachable $service6 "$(address6 11)"
update_to random '' ''
check "no back end: reason $no_backend, IPv4" no_more $service4
check "no back end: reason $no_backend, IPv6" no_more $service6
check "deleted" deleted
done_testing

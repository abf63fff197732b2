#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# "clite observe" beside real traffic: straight from an instance, and from clited by Hubble's
# API; both show the same flows, and filters choose the same ones.
# shellcheck disable=SC2317,SC2015 # functions are called by name
# shellcheck source=tests/integration/lib.sh
. "$(dirname "$0")/lib.sh"

unset CLITE_HUBBLE_SERVER HUBBLE_SERVER
socket=unix://$tmp/hubble.sock
watchers=()

# From now on: watch NAME OPTION...
watch() {
	background "$1" host env --default-signal=INT "$tool" observe "${@:2}"
	watchers+=("$pid")
	[[ " $* " == *" --server "* ]] || wait_for grep -q "Listening for flows" "$tmp/$1" ||
		die "observe: $(cat "$tmp/$1")"
}

# What was watched, without the line that says so.
seen() {
	grep -v "Listening for flows" "$tmp/$1"
}

# A line like this: saw NAME REGEXP
saw() {
	wait_for seen_like "$@" || { echo "nothing like $2 in:"; seen "$1"; return 1; }
}

seen_like() {
	seen "$1" | grep -qE -e "$2"
}

# All lines are like this, and there are some: only NAME REGEXP
only() {
	[[ -n $(seen "$1") ]] && ! seen "$1" | grep -vE -e "$2"
}

make_host
clite instance create default >/dev/null || die "cannot create the instance"
for number in 1 2 3; do
	name=$(cut -d' ' -f"$number" <<<"red blue green")
	workload "$name" "$number"
	endpoint "$name" "$number" --name "shop/$name"
done
clite service update --frontend 10.96.0.1:80/tcp --name shop/front \
	--backends "$(address4 2)" >/dev/null || die "cannot make a service"
serve blue green
allow web blue red | import

# ---- of the instance ------------------------------------------------------------------

watch all
watch drops --verdict DROPPED --type drop --print-node-name
watch blue --to-pod shop/blue --type policy-verdict --print-policy-names
watch six -6 --protocol icmp -o dict --numeric
watch not-red --not --pod shop/red -o json
watch ports --port 53 --time-format RFC3339Nano
watch service --service shop/front
watch one --first 1 -o table
one=$pid

get red "$(address4 2)" >/dev/null || die "red cannot talk to blue"
LIMIT=1 get green "$(address4 2)" >/dev/null 2>&1
ask red "$(address4 3)" >/dev/null || die "red cannot talk to green"
ping_to red "$(address6 3)" >/dev/null || die "red cannot ping green"
get red 10.96.0.1 >/dev/null || die "the service does not answer"

time='[A-Z][a-z]{2} [ 0-9][0-9] [0-9:]{8}\.[0-9]{3}'
check "flows, with names" saw all \
	"^$time: shop/red:[0-9]+ \(ID:[0-9]+\) -> shop/blue:80 \(ID:[0-9]+\) to-endpoint FORWARDED \(TCP Flags: SYN\)$"
check "replies are turned round" saw all \
	"^$time: shop/red:[0-9]+ \(ID:[0-9]+\) <- shop/blue:80 \(ID:[0-9]+\) .* FORWARDED \(TCP Flags: SYN, ACK\)$"
check "drops only" saw drops \
	"^$time \[$(hostname)\]: shop/green:[0-9]+ \(ID:[0-9]+\) (<>|->) shop/blue:80 \(ID:[0-9]+\) Policy denied DROPPED \(TCP Flags: SYN\)$"
check "drops only: nothing else" only drops "Policy denied DROPPED"
check "policies that decided" saw blue \
	"-> shop/blue:80 .* policy-verdict:L3-Only INGRESS ALLOWED BY web \(TCP Flags: SYN\)$"
check "denied by nobody's rule" saw blue "policy-verdict:none INGRESS DENIED \(TCP Flags: SYN\)$"
check "verdicts for blue: nothing else" only blue "(->|<>) shop/blue:80 .* policy-verdict:"
check "IPv6, as numbers" saw six "^     SOURCE: $(address6 1)$"
check "dict" saw six "^    SUMMARY: ICMPv6 EchoRequest"
check "IPv6: nothing else" only six "^(------------|.*: ($(address6 1)|$(address6 3)|[^.]*|$time)|    VERDICT.*|  TIMESTAMP.*)$"
check "without red" saw not-red '"pod_name":"green"'
check "without red: nothing of it" refused seen_like not-red '"pod_name":"red"'
check "ports" saw ports '^[0-9]{4}-[0-9-]{5}T[0-9:]{8}(\.[0-9]+)?Z: shop/red:[0-9]+ .* shop/green:53 .*\(UDP\)$'
check "ports: nothing else" only ports ':53 '
check "a service" saw service 'shop/red:[0-9]+ .* shop/blue:80 '
first_ends() {
	wait "$one" && [[ $(seen one | wc -l) -eq 2 ]] && seen_like one '^TIMESTAMP +SOURCE +DESTINATION +TYPE +VERDICT +SUMMARY$'
}
check "--first ends by itself" first_ends

ctrl_c() {
	local status=0

	kill -INT "${watchers[0]}"
	wait "${watchers[0]}" || status=$?
	[[ $status -eq 0 ]]
}
check "Ctrl-C" ctrl_c
stop "${watchers[@]}"
check "--until ends by itself" timeout 20 "$tool" observe --until -1s -o table
check "JSON is what --input-file reads" \
	bash -c "'$tool' observe --input-file <(grep '^{' '$tmp/not-red') --pod shop/green | grep -q shop/green"

# More watchers than the instance has room for.
full() {
	local i status=0

	for i in {1..8}; do watch "many$i" --first 1000; done
	"$tool" observe --first 1 >"$tmp/full" 2>&1 || status=$?
	stop "${watchers[@]}"
	[[ $status -eq 1 ]] && cat "$tmp/full" && grep -q "subscriber" "$tmp/full"
}
check "no room for another one" full
check "no instance" fails_with "no instance 'other'" "$tool" observe -i other --first 1

# ---- by the API -------------------------------------------------------------------------

if ! "$BUILD/tools/clited/clited" --help 2>/dev/null | grep -q -e --hubble; then
	echo "skip: the build has no clited that serves Hubble's API"
	done_testing
fi
printf 'hubble:\n  listen: ["%s"]\n' "$socket" >"$tmp/clited.yaml"
"$BUILD/tools/clited/clited" --config "$tmp/clited.yaml" 2>"$tmp/clited.log" &
daemon=$!
ready() {
	clite hubble status --server "$socket"
}
wait_for ready || die "clited: $(cat "$tmp/clited.log")"
export CLITE_HUBBLE_SERVER=$socket

watch api-all --server "$socket" -f
watch api-drops --server "$socket" -f --verdict DROPPED --to-pod shop/blue --print-policy-names
server_counts() { # N: so many flows are at the server at least
	[[ $(clite hubble status -o json | query 'int(d.get("seen_flows", 0))') -ge $1 ]]
}
get red "$(address4 2)" >/dev/null || die "red cannot talk to blue"
LIMIT=1 get green "$(address4 2)" >/dev/null 2>&1
ask red "$(address4 3)" >/dev/null || die "red cannot talk to green"
wait_for server_counts 8 || die "the server has no flows: $(clite hubble status)"

check "followed" saw api-all "shop/red:[0-9]+ \(ID:[0-9]+\) -> shop/blue:80 .* FORWARDED"
check "followed, with a filter" saw api-drops "shop/green:[0-9]+ .* shop/blue:80 .* DROPPED"
check "followed, with a filter: nothing else" only api-drops "shop/blue:80 .*(DROPPED|DENIED)"
stop "${watchers[@]}"

# The flows that the server kept, chosen by the server and chosen by clite, are the same.
same_choice() {
	clite observe --all "$@" >"$tmp/server" 2>&1 || { cat "$tmp/server"; return 1; }
	clite observe --all -o json --server "$socket" >"$tmp/kept.json" &&
		clite observe --input-file "$tmp/kept.json" "$@" >"$tmp/file" 2>&1 || return
	[[ -s $tmp/server ]] && diff -u "$tmp/file" "$tmp/server"
}
check "all" same_choice
check "verdict" same_choice --verdict DROPPED
check "pod" same_choice --pod shop/green
check "not" same_choice --not --from-pod shop/red --not --type policy-verdict
check "label and port" same_choice --from-label app=red --to-port 53
check "namespace" same_choice -n shop
check "flags" same_choice --tcp-flags syn --traffic-direction ingress
check "JSON" same_choice --allowlist '{"verdict":["DROPPED"],"destination_port":["80"]}'
check "names of policies, a table" same_choice -o table --print-policy-names --print-node-name
check "last" test "$(clite observe --last 2 | wc -l)" -eq 2
check "first" test "$(clite observe --first 3 | wc -l)" -eq 3
check "since" test "$(clite observe --since 1h | wc -l)" -ge 8
check "until" test "$(clite observe --until 1h | wc -l)" -eq 0
check "the server refuses what it does not know" fails_with "INVALID_ARGUMENT" \
	"$tool" observe --protocol carrier-pigeon
check "status" bash -c "'$tool' hubble status | grep -qE '^Current/Max Flows: [0-9,]+/4,095 '"
check "nodes" bash -c "'$tool' hubble list nodes | grep -qE '^$(hostname) +Connected '"
check "namespaces" bash -c "'$tool' hubble list namespaces | grep -qx 'shop'"
peers() {
	timeout 2 "$tool" hubble watch peers >"$tmp/peers"
	grep -q '^PEER_ADDED ' "$tmp/peers"
}
check "peers" peers
check "--server '' is the instance" timeout 20 "$tool" observe --server '' --until -1s
gone() { # a server that ends tells those who follow
	local follower status=0

	background follower host "$tool" observe -f --last 1
	follower=$pid
	wait_for test -s "$tmp/follower" || return
	stop "$daemon"
	wait "$follower" || status=$?
	echo "status $status"; cat "$tmp/follower"; [[ $status -eq 1 ]] && grep -qE "UNAVAILABLE|closed|ended|broke" "$tmp/follower"
}
check "a server that ends" gone

done_testing

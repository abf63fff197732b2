#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# The library at work, in a minute: sudo ./tools/demo.sh
#
# Everything happens in network namespaces that this script makes, one of which
# plays the host, with a bpf file system of its own; all of it is removed again.
set -u -o pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 2
# shellcheck source=tools/deps.sh
. tools/deps.sh

usage() {
	cat <<'TEXT'
usage: sudo ./tools/demo.sh [--build DIR]

Installs what is missing with apt, builds, and shows the library at work.

  --build DIR   use what is built in this directory, and install nothing
TEXT
}

build=$PWD/build/demo
built=
while [[ $# -gt 0 ]]; do
	case $1 in
	--build)
		build=$(cd "${2:?--build needs a directory}" && pwd) || exit 2
		built=1
		shift
		;;
	-h | --help)
		usage
		exit 0
		;;
	*)
		usage >&2
		exit 2
		;;
	esac
	shift
done
if [[ $EUID -ne 0 ]]; then
	echo "This makes network namespaces and loads BPF programs: run it with sudo." >&2
	exit 1
fi

clite=$build/tools/clite/clite
clited=$build/tools/clited/clited
prefix="clite-demo"
workloads=(client other web1 web2)
declare -A ipv4=([client]=10.77.0.1 [other]=10.77.0.2 [web1]=10.77.0.11 [web2]=10.77.0.12)
declare -A ipv6=([client]=fd77::1 [other]=fd77::2 [web1]=fd77::11 [web2]=fd77::12)
declare -A label=([client]=app=client [other]=app=other [web1]=app=web [web2]=app=web)
service4=10.96.0.80
service6=fd96::80
tmp=

# ---- tidy up ----------------------------------------------------------------

# Await that a condition holds: wait_for SECONDS COMMAND...
wait_for() {
	local deadline=$((SECONDS + $1 + 1))

	shift
	until "$@" >/dev/null 2>&1; do
		[[ $SECONDS -lt $deadline ]] || return 1
		sleep 0.05
	done
}

processes() {
	local name

	for name in "${workloads[@]}" host; do
		[[ ! -e /run/netns/$prefix-$name ]] || ip netns pids "$prefix-$name"
	done
}

no_processes() {
	[[ -z $(processes) ]]
}

# The shell's own kill: a small system has no other.
end_processes() {
	local pids

	mapfile -t pids < <(processes)
	[[ ${#pids[@]} -eq 0 ]] || kill "$@" "${pids[@]}" 2>/dev/null
}

# Processes, namespaces, the bpf file system, files: also those of a demo that was
# killed. The lock says that no other one is running.
remove_all() {
	local name dir

	end_processes
	wait_for 5 no_processes || end_processes -KILL
	for name in "${workloads[@]}" host; do
		[[ ! -e /run/netns/$prefix-$name ]] || ip netns del "$prefix-$name"
	done
	for dir in "${TMPDIR:-/tmp}/$prefix".*; do
		! mountpoint -q "$dir/bpf" || umount "$dir/bpf"
		rm -rf --one-file-system "$dir"
	done
}

# shellcheck disable=SC2317 # called by trap
cleanup() {
	local status=$?

	trap '' INT TERM HUP PIPE
	trap - EXIT
	if [[ -n $tmp ]]; then
		cd /
		! mountpoint -q "$tmp/bpf" || c instance delete demo >/dev/null 2>&1
		remove_all
	fi
	exit "$status"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
trap 'exit 129' HUP
trap 'exit 141' PIPE

fail() {
	echo "demo: $*" >&2
	exit 1
}

# ---- small words ------------------------------------------------------------

title() {
	settle
	printf '\n== %s\n' "$*"
}

# Run a command in a namespace. Not "ip netns exec", which would mount over /sys.
in_ns() {
	local name=$1

	shift
	nsenter --net="/run/netns/$prefix-$name" "$@"
}

# clite, on the namespace that plays the host, on the demo's instance.
c() {
	in_ns host "$clite" -i demo --bpffs "$tmp/bpf" "$@"
}

# The command as it would be typed, then what it does.
show() {
	settle
	printf '$ clite %s\n' "$*"
	c "$@" || fail "clite $* failed"
}

# Let the lines of flows that happened come before what is printed next: until
# the monitor has printed nothing for a moment.
settle() {
	local before=-1 now=0

	[[ -s $tmp/monitor.started ]] || return 0
	while [[ $now -ne $before ]]; do
		before=$now
		sleep 0.15
		now=$(wc -c <"$tmp/flows")
	done
}

get() {
	local from=$1 url=$2

	shift 2
	in_ns "$from" curl --globoff --silent --show-error --max-time 5 --connect-timeout 1 \
		"$@" "$url"
}

expect_served() {
	local answer

	printf '$ curl %s     # from %s\n' "$2" "$1"
	answer=$(get "$1" "$2" 2>&1) || fail "$1 should have been served: $answer"
	echo "$answer"
}

expect_refused() {
	local answer

	printf '$ curl %s     # from %s\n' "$2" "$1"
	! answer=$(get "$1" "$2" 2>&1) || fail "$1 should not have been served"
	echo "$answer"
}

# ---- the stage --------------------------------------------------------------

# No addresses but ours, and no chatter about them: it would be among the flows.
quiet_ipv6() {
	in_ns "$1" sh -c 'cd /proc/sys/net/ipv6/conf/default
		echo 1 >addr_gen_mode
		echo 0 >accept_dad
		echo 0 >router_solicitations
		echo 1 >mldv2_unsolicited_report_interval
		ip link set lo up'
}

make_workload() {
	local name=$1 ns=$prefix-$1

	ip netns add "$ns" || return
	quiet_ipv6 "$name"
	ip -n "$prefix-host" link add "$name" type veth peer name eth0 netns "$ns" &&
		ip -n "$prefix-host" link set "$name" up &&
		ip -n "$ns" link set eth0 up &&
		ip -n "$ns" addr add "${ipv4[$name]}/32" dev eth0 &&
		ip -n "$ns" addr add "${ipv6[$name]}/128" dev eth0 nodad &&
		ip -n "$ns" route add default via 169.254.1.1 dev eth0 onlink &&
		ip -n "$ns" -6 route add default via fe80::1 dev eth0
}

serve() {
	local name=$1

	mkdir -p "$tmp/$name"
	echo "Hello from $name" >"$tmp/$name/index.html"
	truncate -s 12M "$tmp/$name/large"
	in_ns "$name" python3 -m http.server 80 --bind :: --directory "$tmp/$name" \
		>"$tmp/$name.log" 2>&1 &
	wait_for 10 get "$name" "http://[::1]/" || fail "no HTTP server: $(cat "$tmp/$name.log")"
}

start_monitor() {
	local before

	before=$(subscribers)
	: >"$tmp/flows"
	in_ns host "$clite" -i demo --bpffs "$tmp/bpf" monitor \
		> >(tee -a "$tmp/flows" | sed -u 's/^/    | /') 2>"$tmp/monitor.log" &
	wait_for 5 more_subscribers "$before" || fail "no monitor: $(cat "$tmp/monitor.log")"
	echo started >"$tmp/monitor.started"
}

subscribers() {
	c status -o json | sed -n 's/.*"subscribers": *\([0-9]*\).*/\1/p'
}

more_subscribers() {
	[[ $(subscribers) -gt $1 ]]
}

# The daemon keeps flows for clients of Hubble's API, and counts them for Prometheus.
start_daemon() {
	in_ns host "$clited" -i demo --bpffs "$tmp/bpf" --config "$tmp/clited.yaml" \
		2>"$tmp/clited.log" &
	wait_for 5 test -S "$tmp/hubble.sock" || fail "no daemon: $(cat "$tmp/clited.log")"
}

metrics() {
	settle
	printf '$ curl http://127.0.0.1:9962/metrics | grep -E "%s"\n' "$1"
	in_ns host curl --silent --show-error --max-time 5 http://127.0.0.1:9962/metrics |
		grep -E "$1" || fail "no metrics"
}

write_files() {
	cat >"$tmp/clited.yaml" <<YAML
node: demo
hubble: {listen: [unix://$tmp/hubble.sock]}
metrics: "127.0.0.1:9962"
hubble-metrics: [drop, policy]
YAML
	cat >"$tmp/web.yaml" <<'YAML'
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata:
  name: web
spec:
  endpointSelector:
    matchLabels:
      app: web
  ingress:
  - fromEndpoints:
    - matchLabels:
        app: client
    toPorts:
    - ports:
      - port: "80"
        protocol: TCP
YAML
	sed 's/app: client/app: nobody/' "$tmp/web.yaml" >"$tmp/closed.yaml"
}

# ---- the transfer -----------------------------------------------------------

received() {
	stat -c %s "$tmp/received" 2>/dev/null || echo 0
}

more_than() {
	[[ $(received) -gt $1 ]]
}

# Nothing came for half a second.
stalled() {
	local before

	before=$(received)
	sleep 0.5
	[[ $(received) -eq $before ]]
}

transfer() {
	local curl_pid at

	# A small window, so that what is in flight is soon read.
	in_ns client sh -c 'echo 4096 65536 65536 >/proc/sys/net/ipv4/tcp_rmem'
	printf '$ curl --limit-rate 2M http://%s/large     # from client, in the background\n' \
		"${ipv4[web1]}"
	in_ns client curl --silent --limit-rate 2M --max-time 40 -o "$tmp/received" \
		"http://${ipv4[web1]}/large" &
	curl_pid=$!
	wait_for 5 more_than 1000000 || fail "the transfer does not run"
	echo "received $(received) bytes so far"

	echo "# now nobody is allowed any more"
	show policy import closed.yaml
	wait_for 10 stalled || fail "the transfer was not cut"
	at=$(received)
	settle
	echo "stalled at $at bytes, in the middle of an established connection"

	echo "# and the client is allowed again"
	show policy import web.yaml
	wait_for 15 more_than "$at" || fail "the transfer did not go on"
	echo "the same connection goes on"
	wait "$curl_pid" || fail "the transfer failed"
	echo "all $(received) bytes are there"
}

# Chance may send a few requests in a row to one back end.
spread() {
	local url=$1 n

	printf '$ curl %s     # from client, eight times\n' "$url"
	: >"$tmp/answers"
	for ((n = 0; n < 8 || (n < 50 && $(sort -u "$tmp/answers" | wc -l) < 2); n++)); do
		get client "$url" >>"$tmp/answers" || fail "no answer by the service"
	done
	settle
	sort "$tmp/answers" | uniq -c
	[[ $(sort -u "$tmp/answers" | wc -l) -eq 2 ]] || fail "only one back end was used"
}

# ---- build ------------------------------------------------------------------

build_all() {
	local reconfigure=()

	deps_install build demo || exit 1
	echo "== Building in $build"
	mkdir -p "$build"
	[[ ! -e $build/build.ninja ]] || reconfigure=(--reconfigure)
	if ! { meson setup "${reconfigure[@]}" -Dtests=false "$build" . &&
		ninja -C "$build"; } >"$build.log" 2>&1; then
		tail -n 40 "$build.log"
		fail "the build failed; all of it is in $build.log"
	fi
}

[[ -n $built ]] || build_all

# ---- the show ---------------------------------------------------------------

exec 9>/run/$prefix.lock
flock -n 9 || fail "another demo is running"
remove_all
tmp=$(mktemp -d -t "$prefix.XXXXXX")
mkdir "$tmp/bpf"
mount -t bpf bpf "$tmp/bpf" || fail "cannot mount the bpf file system on $tmp/bpf"
cd "$tmp" || exit 1
write_files
started=$SECONDS

title "A host with four workloads, each in a network namespace"
if ! ip netns add "$prefix-host" || ! quiet_ipv6 host; then
	fail "cannot make a network namespace"
fi
for name in "${workloads[@]}"; do
	make_workload "$name" || fail "cannot make the namespace $name"
done
serve web1
serve web2

title "A datapath, and the workloads as its endpoints"
show instance create demo
for name in "${workloads[@]}"; do
	show endpoint add "$name" --ipv4 "${ipv4[$name]}" --ipv6 "${ipv6[$name]}" \
		--name "demo/$name" -l "k8s:${label[$name]}"
done
show endpoint list

title "A daemon that serves Hubble's API and metrics"
cat clited.yaml
start_daemon

title "The flows, live, from here on: lines with a bar"
start_monitor

title "Without a policy everybody is served"
expect_served other "http://${ipv4[web1]}/"

title "A policy: only app=client may reach app=web, on TCP port 80"
cat web.yaml
show policy import web.yaml
expect_served client "http://${ipv4[web1]}/"
expect_served client "http://[${ipv6[web2]}]/"
expect_refused other "http://${ipv4[web1]}/"

title "A service in front of both web servers, IPv4 and IPv6"
show service update --frontend "$service4:80/TCP" --backends "${ipv4[web1]}:80,${ipv4[web2]}:80"
show service update --frontend "[$service6]:80/TCP" \
	--backends "[${ipv6[web1]}]:80,[${ipv6[web2]}]:80" --algorithm maglev
show service list
spread "http://$service4/"
spread "http://[$service6]/"

title "The policy changes while a transfer runs"
transfer

title "What Hubble's clients see: no monitor was needed for it"
show hubble status --server "unix://$tmp/hubble.sock"
show observe --server "unix://$tmp/hubble.sock" --verdict DROPPED --last 3
metrics '^(cilium_(drop|forward)_count_total|hubble_drop_total)'

title "What is there now"
show status

title "Done in $((SECONDS - started)) seconds; everything is removed again"

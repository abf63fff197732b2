# shellcheck shell=bash
# SPDX-License-Identifier: BSD-2-Clause
# Sourced by the tests beside it: a host of its own with workloads, a world, and
# traffic between them. Each "ok" or "not ok" line is one test.
#
# The test runs as the first process of namespaces of its own (network, mounts,
# processes). Whatever happens to it, the kernel takes away all that it made:
# devices, namespaces, mounts, files, processes.
# shellcheck disable=SC2015 # "a && b || die": if a or b fails
set -u -o pipefail

if [[ $EUID -ne 0 ]]; then
	echo "needs root: makes network namespaces and loads BPF programs"
	exit 77
fi
if [[ ! -x ${BUILD:?BUILD must name a build directory}/tools/clite/clite ]]; then
	echo "the build has no tool clite"
	exit 77
fi
if [[ -z ${CLITE_TEST_WORLD-} ]]; then
	exec env CLITE_TEST_WORLD=1 BUILD="$(cd "$BUILD" && pwd)" \
		unshare --mount --net --pid --fork --kill-child --mount-proc "$0" "$@"
fi
mount -t tmpfs tmpfs /run && mkdir /run/netns /run/test || exit 1
export TMPDIR=/run/test LC_ALL=C.UTF-8

# shellcheck source=tests/api/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../api/lib.sh"

# A namespace begins without chatter of its own.
quiet='cd /proc/sys/net/ipv6/conf/default && echo 0 >accept_dad &&
	echo 0 >router_solicitations && ip link set lo up'

die() {
	echo "not ok $*"
	exit 1
}

tool=$BUILD/tools/clite/clite

clite() {
	"$tool" "$@"
}

# Wait until a command is successful: wait_for COMMAND...
wait_for() {
	local deadline=$((SECONDS + ${PATIENCE:-15}))

	until "$@" >/dev/null 2>&1; do
		[[ $SECONDS -lt $deadline ]] || return 1
		sleep 0.02
	done
}

# The command fails: refused COMMAND...
refused() {
	if "$@"; then
		echo "was successful: $*"
		return 1
	fi
}

# What a command prints is this: prints TEXT COMMAND...
prints() {
	local expected=$1 actual status=0

	shift
	actual=$("$@" 2>&1) || status=$?
	[[ $actual == "$expected" && $status -eq 0 ]] && return
	printf 'status %s of: %s\nexpected: %s\nprinted:  %s\n' "$status" "$*" "$expected" "$actual"
	return 1
}

# A command fails, and what it says on the way has this in it: fails_with TEXT COMMAND...
fails_with() {
	local expected=$1 actual status=0

	shift
	actual=$("$@" 2>&1) || status=$?
	[[ $actual == *"$expected"* && $status -ne 0 ]] && return
	printf 'status %s of: %s\nexpected: %s\nprinted:  %s\n' "$status" "$*" "$expected" "$actual"
	return 1
}

# ---- the stage ----------------------------------------------------------------

# The host forwards packets; it has an address, on no device that leads anywhere.
host4=192.0.2.1 host6=2001:db8::1
world4=198.51.100.9 world6=2001:db8:100::9
gateway4=169.254.1.1 gateway6=fe80::1

make_host() {
	sh -c "$quiet" || die "cannot set up a network namespace"
	echo 1 >/proc/sys/net/ipv4/ip_forward
	echo 1 >/proc/sys/net/ipv6/conf/all/forwarding
	ip addr add "$host4/32" dev lo
	ip addr add "$host6/128" dev lo nodad
	# This one knows of the devices of this namespace.
	mount -t sysfs sysfs /sys || die "cannot mount sysfs"
	mount -t bpf bpf /sys/fs/bpf || die "cannot mount the bpf file system"
}

# Run a command in a namespace; not "ip netns exec", which would mount over /sys.
in_ns() {
	local name=$1

	shift
	if [[ $name == host ]]; then
		"$@"
	else
		nsenter --net="/run/netns/$name" "$@"
	fi
}

make_ns() {
	ip netns add "$1" && in_ns "$1" sh -c "$quiet" || die "cannot make a network namespace"
}

address4() {
	echo "10.77.0.$1"
}

address6() {
	echo "fd77::$1"
}

# Addresses and routes inside of a workload; nobody has the gateway's address:
# addresses NAME NUMBER DEVICE
addresses() {
	ip -n "$1" link set dev "$3" up &&
		ip -n "$1" addr add "$(address4 "$2")/32" dev "$3" &&
		ip -n "$1" addr add "$(address6 "$2")/128" dev "$3" nodad &&
		ip -n "$1" route add default via "$gateway4" dev "$3" onlink &&
		ip -n "$1" -6 route add default via "$gateway6" dev "$3" &&
		ip route add "$(address4 "$2")" dev "$1" src "$host4" &&
		ip -6 route add "$(address6 "$2")" dev "$1" src "$host6"
}

# A namespace with eth0, whose other end is a device of the same name here:
# workload NAME NUMBER
workload() {
	make_ns "$1"
	ip -n "$1" link add eth0 type veth peer name "$1" netns $$ &&
		ip link set dev "$1" up &&
		addresses "$1" "$2" eth0 || die "cannot make workload $1"
}

# One behind a tap: a process copies packets between the tap here and one inside, as a
# hypervisor does: workload_tap NAME NUMBER
workload_tap() {
	make_ns "$1"
	traffic "$1.tap" host tap "$1" "/run/netns/$1" eth0
	ip link set dev "$1" up && addresses "$1" "$2" eth0 || die "cannot make workload $1"
}

# endpoint NAME NUMBER [OPTION...]
endpoint() {
	local name=$1 number=$2

	shift 2
	clite endpoint add "$name" --ipv4 "$(address4 "$number")" --ipv6 "$(address6 "$number")" \
		-l "k8s:app=$name" --id "$number" "$@" >"$tmp/endpoint.out" 2>&1 ||
		die "cannot add endpoint $name: $(cat "$tmp/endpoint.out")"
}

# A router's view of the world: the namespace "world" behind the device "uplink".
make_world() {
	make_ns world
	ip link add uplink type veth peer name eth0 netns world &&
		ip link set dev uplink up &&
		ip addr add 198.51.100.1/24 dev uplink &&
		ip addr add 2001:db8:100::1/64 dev uplink nodad &&
		ip -n world link set dev eth0 up &&
		ip -n world addr add "$world4/24" dev eth0 &&
		ip -n world addr add "$world6/64" dev eth0 nodad &&
		ip -n world route add default via 198.51.100.1 &&
		ip -n world -6 route add default via 2001:db8:100::1 || die "cannot make the world"
}

# ---- traffic ------------------------------------------------------------------

# Start a command in a namespace; what it prints goes to $tmp/NAME, its process number to $pid:
# background NAME NAMESPACE COMMAND...
background() {
	local name=$1 enter=(nsenter --net="/run/netns/$2")

	[[ $2 != host ]] || enter=()
	shift 2
	: >"$tmp/$name"
	"${enter[@]}" "$@" >"$tmp/$name" 2>&1 </dev/null &
	# shellcheck disable=SC2034 # for those who call
	pid=$!
}

# The same for traffic, until it says that it is ready: traffic NAME NAMESPACE COMMAND...
traffic() {
	local name=$1 ns=$2

	shift 2
	background "$name" "$ns" python3 "$root/tests/integration/net.py" "$@"
	wait_for grep -q ready "$tmp/$name" || die "$name in $ns: $(cat "$tmp/$name")"
}

# End what was started in the background: stop PID...
stop() {
	kill "$@" 2>/dev/null
	wait "$@" 2>/dev/null
	return 0
}

# Answer on TCP port 80 (HTTP) and UDP port 53 in each namespace: serve NAME...
serve() {
	local name

	for name; do
		background "$name.server" "$name" python3 "$root/tests/integration/net.py" serve "$name"
	done
	for name; do
		wait_for grep -q ready "$tmp/$name.server" ||
			die "no server in $name: $(cat "$tmp/$name.server")"
	done
}

curl=(curl --globoff --silent --show-error --noproxy '*')

in_url() {
	case $1 in
	*:*) echo "[$1]" ;;
	*) echo "$1" ;;
	esac
}

# Fetch a page: get FROM ADDRESS [PATH] [OPTION OF CURL]...
get() {
	local from=$1 address=$2 path=${3-}

	shift 2
	[[ $# -eq 0 ]] || shift
	in_ns "$from" "${curl[@]}" --max-time "${LIMIT:-10}" "$@" "http://$(in_url "$address")/$path"
}

# Ask by UDP: ask FROM ADDRESS [OPTION]...
ask() {
	local from=$1 address=$2

	shift 2
	in_ns "$from" python3 "$root/tests/integration/net.py" ask "$address" "$@"
}

# ping_to FROM ADDRESS [OPTION]...
ping_to() {
	local from=$1 address=$2

	shift 2
	in_ns "$from" ping -q -c 2 -i 0.05 -W 3 "$@" "$address"
}

# ---- what the datapath says -----------------------------------------------------

# A Python expression of the JSON in standard input, which is d: ... | query EXPRESSION [ARGUMENT]...
query() {
	python3 -c 'import json, sys; d = json.load(sys.stdin); print(eval(sys.argv[1]))' "$@"
}

# Packets dropped for a reason up to now: drops REASON
drops() {
	clite bpf metrics list -o json | query 'sum(m["packets"] for m in d if m["code"] == int(sys.argv[2]))' "$1"
}

# Everything that an instance lists but its flows and counters.
listings() {
	local what

	for what in "endpoint list" "identity list" "policy get" "service list" "bpf ipcache list" \
		"bpf lb list" "bpf policy get"; do
		echo "== $what"
		# shellcheck disable=SC2086 # several words
		clite $what -o json || return
	done
}

# A policy for what comes to endpoints: allow NAME SUBJECT PEER [DENIED PEER]
allow() {
	cat <<YAML
---
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata:
  name: $1
spec:
  endpointSelector:
    matchLabels:
      app: $2
  ingress:
  - fromEndpoints:
    - matchLabels:
        app: $3
YAML
	[[ -z ${4-} ]] || cat <<YAML
  ingressDeny:
  - fromEndpoints:
    - matchLabels:
        app: $4
YAML
}

import() {
	clite policy import - >"$tmp/import.out" 2>&1 ||
		die "cannot import a policy: $(cat "$tmp/import.out")"
}

#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# Services at the socket: processes in cgroups that connect to services, and others that
# must not find them.
# shellcheck disable=SC2317,SC2015 # functions are called by name
# shellcheck source=tests/integration/lib.sh
. "$(dirname "$0")/lib.sh"

service4=10.96.0.80 service6=fd96::80
back4=$(address4 11) back6=$(address6 11)
net=$root/tests/integration/net.py

# ---- cgroups of our own -------------------------------------------------------------

mkdir "$tmp/cgroups"
mount -t cgroup2 none "$tmp/cgroups" || die "cannot mount cgroup2"
# Of a run that was killed; one that is in use cannot be removed.
rmdir "$tmp"/cgroups/clite-test.*/{inside/deep,inside,outside,} 2>/dev/null
top=$(mktemp -d "$tmp/cgroups/clite-test.XXXXXX") || die "cannot make a cgroup"
mkdir -p "$top/inside/deep" "$top/outside"

empty() {
	[[ -z $(cat "$1/cgroup.procs") ]]
}

cleanup() {
	local dir

	for dir in "$top/inside/deep" "$top/inside" "$top/outside" "$top"; do
		[[ ! -d $dir ]] || { echo 1 >"$dir/cgroup.kill"; wait_for empty "$dir"; rmdir "$dir"; }
	done 2>/dev/null
	umount "$tmp/cgroups"
}

# Ask by a socket in a cgroup: sock CGROUP NAMESPACE HOW ADDRESS [OPTION]...
sock() {
	local cgroup=$1 ns=$2

	shift 2
	in_ns "$ns" python3 "$net" --cgroup "$top/$cgroup" sock "$@"
}

# update BACKEND-NUMBER...: both protocols and families
update() {
	local n list4="" list6=""

	for n; do
		list4+=${list4:+,}$(address4 "$n") list6+=${list6:+,}[$(address6 "$n")]
	done
	{
		clite service update --frontend "$service4:80/tcp" --backends "$list4" &&
			clite service update --frontend "$service4:53/udp" --backends "$list4" &&
			clite service update --frontend "[$service6]:80/tcp" --backends "$list6" &&
			clite service update --frontend "[$service6]:53/udp" --backends "$list6"
	} >"$tmp/service.out" 2>&1 || die "cannot update a service: $(cat "$tmp/service.out")"
}

# ---- who is found ---------------------------------------------------------------------

# What a socket's table has for IPv4 in IPv6.
mapped() {
	echo "[mapped:$1]:$2"
}

# Every kind of socket, in a cgroup and namespace: all_kinds CGROUP NAMESPACE
all_kinds() {
	local at="in $2, $1"

	check "$at: TCP, IPv4" prints "web1 $service4:80 $back4:80" sock "$1" "$2" tcp "$service4"
	check "$at: TCP, IPv6" prints "web1 [$service6]:80 [$back6]:80" sock "$1" "$2" tcp "$service6"
	check "$at: TCP, IPv4 in IPv6" prints "web1 $(mapped "$service4" 80) $(mapped "$back4" 80)" \
		sock "$1" "$2" tcp "::ffff:$service4"
	check "$at: UDP, IPv4" prints "web1 $service4:53 $back4:53" sock "$1" "$2" udp "$service4"
	check "$at: UDP, IPv6" prints "web1 [$service6]:53 [$back6]:53" sock "$1" "$2" udp "$service6"
	check "$at: UDP, IPv4 in IPv6" prints "web1 $(mapped "$service4" 53) $(mapped "$back4" 53)" \
		sock "$1" "$2" udp "::ffff:$service4"
	check "$at: UDP unconnected, IPv4" prints "web1 $service4:53 0.0.0.0:0" sock "$1" "$2" send "$service4"
	check "$at: UDP unconnected, IPv6" prints "web1 [$service6]:53 [::]:0" sock "$1" "$2" send "$service6"
	check "$at: UDP unconnected, IPv4 in IPv6" prints "web1 $(mapped "$service4" 53) [::]:0" \
		sock "$1" "$2" send "::ffff:$service4"
}

# Nobody translates: the host has no way to the service.
untouched() {
	local how

	for how in tcp udp send; do
		fails_with "unreachable" sock "$1" host "$how" "$service4" &&
			fails_with "unreachable" sock "$1" host "$how" "::ffff:$service4" || return
	done
}

# What is no service's goes where it is sent.
others() {
	prints "web1 $back4:80 $back4:80" sock inside host tcp "$back4" &&
		prints "web1 $back4:53 $back4:53" sock inside host udp "$back4" &&
		prints "web1 $back4:53 0.0.0.0:0" sock inside host send "$back4" &&
		prints "web1 [$back6]:80 [$back6]:80" sock inside host tcp "$back6" &&
		fails_with "Connection refused" sock inside host tcp "$back4" --port 81
}

unprivileged() {
	prints "web1 $service4:80 $back4:80" in_ns client python3 "$net" --cgroup "$top/inside" --uid 65534 \
		sock tcp "$service4" &&
		prints "web1 $service4:53 0.0.0.0:0" in_ns client python3 "$net" --cgroup "$top/inside" \
			--uid 65534 sock send "$service4"
}

# ---- which back end ---------------------------------------------------------------------

names_of() {
	awk '{ print $1 }' | sort -u | tr '\n' ' '
}

sock_names() {
	sock "$@" | names_of
}

# Many sockets get both; one socket gets one, however often it sends.
spread() {
	local how

	for how in tcp udp send; do
		prints "web1 web2 " sock_names inside host "$how" "$1" --sockets 30 || return
	done
	sock inside host send "$1" --count 30 >"$tmp/answers" || return
	cat "$tmp/answers"
	[[ $(names_of <"$tmp/answers") == web?" " && $(wc -l <"$tmp/answers") -eq 30 ]]
}

maglev() {
	clite service update --frontend "$service4:80/tcp" --algorithm maglev \
		--backends "$(address4 11),$(address4 12)" >/dev/null || return
	prints "web1 web2 " sock_names inside host tcp "$service4" --sockets 30
}

# Refused, at once, and counted.
nobody() {
	local how before address

	before=$(drops 158)
	for how in tcp udp send; do
		for address in "$service4" "$service6" "::ffff:$service4"; do
			fails_with "$refusal" sock inside host "$how" "$address" || return
		done
	done
	prints $((before + 9)) drops 158
}

# ---- back ends that go ---------------------------------------------------------------------

last_line() {
	grep "^$1 " "$tmp/hold" | tail -n 1
}

held() {
	[[ $(grep -c '^ready' "$tmp/hold") -ge $1 ]]
}

ask_again() {
	kill -USR1 "$holder" && wait_for held "$1"
}

# TCP stays with the back end that was removed, UDP is ended, what is not connected moves:
# removed NAMESPACE ADDRESS END-OF-SERVICE [OPTION]...
removed() {
	local tcp=$3 udp=${3%:80}:53

	update 11
	traffic hold "$1" --cgroup "$top/inside" hold "$2" "${@:4}"
	holder=$pid
	# What concerns another back end changes nothing.
	update 11 12 && update 11 && ask_again 2 &&
		prints "tcp web1 $tcp" last_line tcp && prints "udp web1 $udp" last_line udp &&
		prints "send web1 $udp" last_line send && refused grep ended "$tmp/hold" &&
		update 12 && wait_for grep -qx 'udp ended: Software caused connection abort' "$tmp/hold" &&
		ask_again 3 && prints "tcp web1 $tcp" last_line tcp && prints "send web2 $udp" last_line send
	status=$?
	cat "$tmp/hold"
	stop "$holder"
	update 11
	return "$status"
}

# A service that is deleted ends them, too; one that only drains does not.
draining() {
	update 11 12
	clite service update --frontend "$service4:53/udp" --backends "$(address4 11)" >/dev/null
	traffic hold host --cgroup "$top/inside" hold "$service4"
	holder=$pid
	clite service update --frontend "$service4:53/udp" --states terminating,active \
		--backends "$(address4 11),$(address4 12)" >/dev/null && ask_again 2 &&
		prints "udp web1 $service4:53" last_line udp && prints "send web1 $service4:53" last_line send &&
		prints "web2 $service4:53 $(address4 12):53" sock inside host udp "$service4" &&
		clite service update --frontend "$service4:53/udp" --states quarantined,active \
			--backends "$(address4 11),$(address4 12)" >/dev/null && ask_again 3 &&
		prints "udp web1 $service4:53" last_line udp && prints "send web2 $service4:53" last_line send &&
		clite service delete "$(id_of "$service4" 53)" >/dev/null &&
		wait_for grep -q 'udp ended' "$tmp/hold" && update 11
	status=$?
	cat "$tmp/hold"
	stop "$holder"
	return "$status"
}

# Connections and questions begin all the time while back ends come and go: none fails.
swaps() {
	local how pids=() asked status=0

	for how in tcp send; do
		background "swap.$how" host python3 "$net" --cgroup "$top/inside" sock "$how" "$1" \
			--sockets 1000000
		pids+=("$pid")
	done
	for ((n = 0; n < 15; n++)); do
		update 12 && update 11 12 && update 11 || status=1
	done
	kill -0 "${pids[@]}" || status=1
	stop "${pids[@]}"
	for how in tcp send; do
		asked=$(grep -c '^web[12] ' "$tmp/swap.$how")
		echo "$how: $asked, $(names_of <"$tmp/swap.$how")"
		[[ $asked -gt 20 ]] && ! grep -v '^web[12] ' "$tmp/swap.$how" || status=1
	done
	return "$status"
}

id_of() {
	clite service list -o json | query 'next(s["spec"]["id"] for s in d if
		(s["spec"]["frontend-address"]["ip"], s["spec"]["frontend-address"]["port"]) ==
		(sys.argv[2], int(sys.argv[3])))' "$1" "$2"
}

# ---- bind --------------------------------------------------------------------------------------

bind_in() {
	local cgroup=$1 ns=$2

	shift 2
	in_ns "$ns" python3 "$net" --cgroup "$top/$cgroup" bind "$@"
}

bind_taken() {
	clite service update --frontend "$host4:8080/tcp" --backends "$back4:80" >/dev/null &&
		clite service update --frontend "[$host6]:8080/tcp" --backends "[$back6]:80" >/dev/null || return
	fails_with "$taken" bind_in inside host "$host4" && fails_with "$taken" bind_in inside host "$host6" &&
		fails_with "$taken" bind_in inside host "::ffff:$host4" || return
	# Everything else can be bound to: the wildcard, other ports and protocols, elsewhere.
	prints bound bind_in inside host 0.0.0.0 && prints bound bind_in inside host :: &&
		prints bound bind_in inside host "$host4" --port 8081 &&
		prints bound bind_in inside host "$host4" --kind udp &&
		prints bound bind_in outside host "$host4" && prints bound bind_in inside client "$host4" || return
	prints "web1 $host4:8080 $back4:80" sock inside host tcp "$host4" --port 8080 && return
	clite service list
	return 1
}

# ---- attached, detached --------------------------------------------------------------------------

listed() {
	local path=$1

	prints "$path $(stat -c %i "$top/inside") 1" query '" ".join(
		[d[0]["path"], str(d[0]["id"]), str(len(d))])' < <(clite cgroup list -o json) &&
		prints 1 query 'd["cgroups"]' < <(clite status -o json)
}

links() {
	find /sys/fs/bpf/cilium-lite/default/links -name 'cgroup-*' | wc -l
}

wrong_paths() {
	fails_with "cannot open cgroup '$top/nothing': No such file or directory" \
		clite cgroup attach "$top/nothing" &&
		fails_with "'/proc' is no cgroup of version 2" clite cgroup attach /proc &&
		fails_with "is attached already" clite cgroup attach "$top/../${top##*/}/inside" &&
		fails_with "cgroup '$top/outside' is not attached" clite cgroup detach "$top/outside" &&
		fails_with "cgroup '$top/nothing' is not attached" clite cgroup detach "$top/nothing"
}

holder_cgroup() {
	background holder host env PYTHONPATH="$root/bindings/python" PYTHONDONTWRITEBYTECODE=1 \
		CILIUM_LITE_LIBRARY="$BUILD/src/libcilium-lite.so" python3 -c '
import signal, sys
import cilium_lite as cl
ctx = cl.Context(**({"ephemeral": True} if sys.argv[2] == "ephemeral" else {"name": "default"}))
if sys.argv[2] == "ephemeral":
    ctx.services.update("10.96.0.99", 80, backends=[cl.Backend(sys.argv[3])])
ctx.cgroups.attach(sys.argv[1])
print("ready", flush=True)
signal.pause()' "$@"
	wait_for grep -q ready "$tmp/holder" || { cat "$tmp/holder"; return 1; }
}

# It is the kernel's work, not a process's.
killed() {
	clite cgroup detach "$top/inside" && holder_cgroup "$top/inside" named || return
	kill -KILL "$pid"
	wait "$pid" 2>/dev/null
	prints "web1 $service4:80 $back4:80" sock inside host tcp "$service4" && listed "$top/inside" &&
		prints 11 links
}

# An ephemeral instance beside the other goes with its process, however that ends.
ephemeral() {
	holder_cgroup "$top/inside" ephemeral "$back4" || return
	prints "web1 10.96.0.99:80 $back4:80" sock inside host tcp 10.96.0.99 &&
		prints "web1 $service4:80 $back4:80" sock inside host tcp "$service4" || return
	kill "-$1" "$pid"
	wait "$pid" 2>/dev/null
	wait_for fails_with "unreachable" sock inside host tcp 10.96.0.99 &&
		prints "web1 $service4:80 $back4:80" sock inside host tcp "$service4"
}

# Of sockets that are connected the map holds those that are there.
released() {
	local before

	before=$(entries)
	traffic hold host --cgroup "$top/inside" hold "$service4"
	# A TCP and a UDP socket, and one that is not connected.
	prints $((before + 3)) entries
	status=$?
	stop "$pid"
	[[ $status -eq 0 ]] && sock inside host tcp "$service6" --sockets 20 >/dev/null &&
		sock inside host udp "::ffff:$service4" --sockets 20 >/dev/null && prints $((before + 1)) entries
}

entries() {
	bpftool -j map dump pinned /sys/fs/bpf/cilium-lite/default/maps/sockets |
		query 'sum(1 for e in d if e["formatted"]["key"]["way"] == 0)'
}

# A cgroup goes under the instance, and comes again.
cgroup_gone() {
	clite cgroup attach "$top/outside" && echo 1 >"$top/outside/cgroup.kill" && wait_for rmdir "$top/outside" &&
		mkdir "$top/outside" && untouched outside && clite cgroup attach "$top/outside" &&
		prints "web1 $service4:80 $back4:80" sock outside host tcp "$service4" && prints 22 links &&
		echo 1 >"$top/outside/cgroup.kill" && wait_for rmdir "$top/outside" &&
		clite cgroup detach "$top/outside" && mkdir "$top/outside" && prints 11 links && listed "$top/inside"
}

detached() {
	clite cgroup detach "$top/inside" && prints 0 links && prints '[]' clite cgroup list -o json &&
		untouched inside && clite cgroup attach "$top/inside" &&
		prints "web1 $service4:80 $back4:80" sock inside host tcp "$service4"
}

programs() {
	bpftool cgroup tree "$top" | grep clite
	return 0
}

destroyed() {
	clite instance delete default && untouched inside &&
		prints "" programs
}

make_host
workload client 1
workload web1 11
workload web2 12
serve web1 web2
clite instance create default >/dev/null || die "cannot create an instance"
endpoint client 1
endpoint web1 11
endpoint web2 12
update 11

# What a call says that is refused: kernels before 6.1 know one word only.
if clite status --features | grep -q '^set-retval *yes'; then
	refusal="Connection refused" taken="Address already in use"
else
	refusal="Operation not permitted" taken=$refusal
fi

check "before it is attached nobody is found" untouched inside
check "attach" clite cgroup attach "$top/inside"
check "listed" listed "$top/inside"
check "paths that are wrong" wrong_paths
all_kinds inside host
all_kinds inside/deep client
check "outside nothing is touched" untouched outside
check "what is no service's is not touched" others
check "unprivileged" unprivileged
check "closed sockets are forgotten" released
update 11 12
check "all back ends, one for each socket, IPv4" spread "$service4"
check "all back ends, one for each socket, IPv6" spread "$service6"
check "all back ends, Maglev" maglev
update
check "no back end" nobody
if clite status --features | grep -q '^udp-destroy *yes'; then
	check "back end removed, IPv4" removed host "$service4" "$service4:80"
	check "back end removed, IPv6" removed host "$service6" "[$service6]:80"
	check "back end removed, IPv4 in IPv6" removed host "::ffff:$service4" "$(mapped "$service4" 80)"
	check "back end removed, in another namespace" removed client "$service4" "$service4:80"
	check "back end removed, in a namespace without a process" \
		removed host "$service4" "$service4:80" --netns /run/netns/client
	check "back end that drains" draining
else
	echo "skip: this kernel cannot end UDP sockets"
fi
check "connecting while back ends come and go, IPv4" swaps "$service4"
check "connecting while back ends come and go, IPv6" swaps "$service6"
check "nobody binds to a service" bind_taken
check "kill -9 of the process that attached it" killed
for how in TERM KILL; do
	check "an ephemeral instance goes with its process, SIG$how" ephemeral "$how"
done
check "the cgroup is removed" cgroup_gone
check "detached, attached again" detached
check "destroyed" destroyed
done_testing

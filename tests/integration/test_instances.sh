#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# Instances: seen by every process, beside each other, gone with their process or
# when they are deleted; and everything that can be wrong with opening one.
# shellcheck disable=SC2317,SC2015 # functions are called by name
# shellcheck source=tests/integration/lib.sh
. "$(dirname "$0")/lib.sh"

red4=$(address4 1) blue4=$(address4 2) green4=$(address4 3) blue6=$(address6 2)

# ---- state is in the kernel -----------------------------------------------------------

# What one process makes every other sees, and the kernel goes on without any.
seen_by_all() {
	allow web blue red | import
	clite service update --frontend 10.96.0.80:80 --backends "$blue4" --name default/web >/dev/null || return
	get red 10.96.0.80 && refused ask green "$blue4" --timeout 0.2 || return
	prints "red blue green" query '" ".join(e["status"]["networking"]["interface-name"] for e in d)' \
		< <(clite endpoint list -o json) &&
		prints "web" query '" ".join(p["name"] for p in d)' < <(clite policy get -o json) &&
		prints "10.96.0.80 default web" query \
			'" ".join([d[0]["spec"]["frontend-address"]["ip"], d[0]["spec"]["flags"]["namespace"],
				d[0]["spec"]["flags"]["name"]])' \
			< <(clite service list -o json) &&
		prints True query 'len(d) > 0' < <(clite bpf ct list -o json)
}

# Two instances on one host know nothing of each other.
beside() {
	clite -i other instance create --clsact && prints $'default\nother' names &&
		clite -i other endpoint add yellow --ipv4 "$(address4 4)" -l app=blue || return
	listings >"$tmp/before"
	# A policy of the same name and with the same labels, only there.
	allow web blue nobody | clite -i other policy import - || return
	refused ask red "$(address4 4)" --timeout 0.2 || return
	prints "blue $red4" get red "$blue4" || return
	listings >"$tmp/after"
	diff "$tmp/before" "$tmp/after" || return
	clite -i other policy delete web && prints "yellow $red4" get red "$(address4 4)" &&
		clite instance delete other && prints default names && prints "blue $red4" get red "$blue4" &&
		prints "yellow $red4" get red "$(address4 4)"
}

names() {
	clite instance list --no-headers | sort
}

# ---- ephemeral --------------------------------------------------------------------------

hold() {
	background holder host env PYTHONPATH="$root/bindings/python" PYTHONDONTWRITEBYTECODE=1 \
		CILIUM_LITE_LIBRARY="$BUILD/src/libcilium-lite.so" \
		python3 "$root/tests/integration/holder.py" "$@"
	wait_for grep -q ready "$tmp/holder" && return
	cat "$tmp/holder"
	return 1
}

served_again() {
	ask purple "$(address4 6)" --timeout 0.2
}

# It denies everything, and then it is gone.
vanishes() {
	hold "$1" purple="$(address4 5)" brown="$(address4 6)" || return
	refused ask purple "$(address4 6)" --timeout 0.2 || return
	prints default names || return
	kill "-$2" "$pid"
	wait "$pid" 2>/dev/null
	wait_for served_again
}

# Filters of clsact outlive their process; who comes next takes their place.
taken_over() {
	hold clsact purple="$(address4 5)" brown="$(address4 6)" || return
	kill -KILL "$pid"
	wait "$pid" 2>/dev/null
	clite -i next instance create --clsact && clite -i next endpoint add purple -l a --ipv4 "$(address4 5)" &&
		clite -i next endpoint add brown -l b --ipv4 "$(address4 6)" || return
	prints "brown $(address4 5)" ask purple "$(address4 6)" && clite instance delete next &&
		prints "brown $(address4 5)" ask purple "$(address4 6)"
}

# ---- what can be wrong ---------------------------------------------------------------------

# Write another layout number into the instance: layout NUMBER
layout() {
	local pin=/sys/fs/bpf/cilium-lite/default/maps/control bytes

	bytes=$(bpftool -j map lookup pinned "$pin" key 0 0 0 0 | query \
		'" ".join([sys.argv[2], "0", "0", "0"] + [str(int(b, 16)) for b in d["value"]][4:])' "$1") || return
	# shellcheck disable=SC2086 # one number each
	bpftool map update pinned "$pin" key 0 0 0 0 value $bytes
}

unknown_layout() {
	local own

	own=$(sed -n 's/^#define DP_LAYOUT //p' "$root/bpf/include/clite_layout.h")
	listings >"$tmp/before"
	layout 99 || return
	fails_with "instance 'default' has a map layout that this library (layout $own) does not know" clite status &&
		fails_with "does not know" clite instance create default --if-absent &&
		fails_with "does not know" clite endpoint delete red && prints "blue $red4" get red "$blue4"
	status=$?
	layout "$own" && listings >"$tmp/after" && diff "$tmp/before" "$tmp/after" && return "$status"
}

no_bpffs() {
	mkdir -p "$tmp/none"
	fails_with "no bpf file system at $tmp/none: mount it with 'mount -t bpf bpf $tmp/none'" \
		clite --bpffs "$tmp/none" status
}

mounts_bpffs() {
	mkdir -p "$tmp/mounted"
	clite --bpffs "$tmp/mounted" instance create other && prints other clite --bpffs "$tmp/mounted" \
		instance list --no-headers && clite --bpffs "$tmp/mounted" instance delete other &&
		umount "$tmp/mounted"
}

lacks() {
	fails_with "$1" setpriv --bounding-set "-$2" --inh-caps "-$2" "$tool" instance create other
}

not_root() {
	local name

	cp -r "$BUILD/src/libcilium-lite.so"* "$tool" "$tmp"
	[[ ! -e $BUILD/src/hubble ]] || cp "$BUILD/src/hubble/libcilium-lite-hubble.so.0" "$tmp"
	chmod 755 "$tmp"
	for name in CAP_BPF CAP_NET_ADMIN; do
		fails_with "$name" setpriv --reuid 65534 --regid 65534 --clear-groups \
			env LD_LIBRARY_PATH="$tmp" "$tmp/clite" status || return
	done
}

no_device() {
	fails_with "nosuchdev" clite endpoint add nosuchdev --ipv4 10.77.0.99 &&
		fails_with "nosuchdev" clite device attach nosuchdev &&
		fails_with "nosuch" clite -i nosuch status && fails_with "default" clite instance create default
}

# The device goes under the endpoint: the others do not care, and it may come again.
device_gone() {
	ip link del dev green && ip netns del green || return
	prints "blue $red4" get red "$blue4" || return
	clite endpoint get green -o json >"$tmp/gone" || return
	cat "$tmp/gone"
	prints True query 'd[0]["status"]["networking"]["interface-name"] == ""' <"$tmp/gone" || return
	prints "blue $(address6 1)" ask red "$blue6" || return
	refused ask red "$green4" --timeout 0.2 || return
	clite endpoint delete green || return
	workload green 3
	endpoint green 3
	serve green
	allow web green red | import
	prints "green $red4" ask red "$green4"
}

deleted() {
	clite instance delete default && prints "" names || return
	fails_with "default" clite status || return
	[[ ! -e /sys/fs/bpf/cilium-lite ]] || { ls -R /sys/fs/bpf; return 1; }
	# Nothing is policed any more.
	prints "blue $(address4 4)" ask yellow "$blue4"
}

make_host
for n in red=1 blue=2 green=3 yellow=4 purple=5 brown=6; do
	workload ${n%=*} ${n#*=}
done
# Without an instance nobody answers for the gateway.
for n in yellow purple brown; do
	ip -n $n neigh replace "$gateway4" dev eth0 nud permanent lladdr "$(cat /sys/class/net/$n/address)"
done
serve red blue green yellow brown
clite instance create default >/dev/null || die "cannot create an instance"
endpoint red 1
endpoint blue 2
endpoint green 3

check "every process sees the same" seen_by_all
check "two instances beside each other" beside
for how in TERM KILL; do
	check "an ephemeral instance goes with its process, SIG$how" vanishes tcx $how
done
check "filters of a killed process are taken over" taken_over
check "unknown layout" unknown_layout
check "no bpf file system" no_bpffs
check "a bpf file system is mounted" mounts_bpffs
check "CAP_BPF is missing" lacks CAP_BPF bpf,-sys_admin
check "CAP_NET_ADMIN is missing" lacks CAP_NET_ADMIN net_admin,-sys_admin
check "CAP_PERFMON is missing" lacks CAP_PERFMON perfmon,-sys_admin
check "not root" not_root
check "things that are not there, and that are" no_device
check "a device goes under its endpoint" device_gone
check "deleted" deleted
done_testing

#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# The unit of the daemon under a real systemd: started with its sandbox and capabilities,
# ready, reloaded, killed, hung, stopped. systemd is the first process of namespaces of its
# own, in a copy of the root that ends with it.
# shellcheck disable=SC2317 # functions are called by name
# shellcheck source=tests/integration/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

if [[ ! -x $BUILD/tools/clited/clited ]]; then
	echo "the build has no daemon clited"
	exit 77
fi
[[ -x /lib/systemd/systemd ]] || die "there is no systemd"

copy=$tmp/copy
root_of=$copy/root
systemd=

# ---- a machine ----------------------------------------------------------------------

# What systemd leaves below the cgroup that it was started in.
cleanup() {
	[[ -z $systemd ]] || kill -KILL "$systemd" 2>/dev/null
	wait 2>/dev/null
	wait_for eval "find $tmp/cgroup/clite-systemd -depth -type d -exec rmdir {} +"
	umount -l "$root_of" "$copy" "$tmp/cgroup"
}

prepare() {
	mkdir -p "$copy" "$tmp/cgroup" || return
	mount -t cgroup2 cgroup2 "$tmp/cgroup" && mount -t tmpfs tmpfs "$copy" || return
	mkdir -p "$copy"/{upper,work,root} "$tmp/cgroup/clite-systemd" || return
	mount -t overlay overlay \
		-o "lowerdir=/,upperdir=$copy/upper,workdir=$copy/work" "$root_of" || return
	# nothing of this machine's own is started there
	rm -rf "$root_of"/etc/systemd/system/* "$root_of"/etc/cilium-lite
	DESTDIR=$root_of meson install -C "$BUILD" --no-rebuild --quiet || return
	mkdir -p "$root_of"/etc/{systemd/system/clited.service.d,cilium-lite} "$root_of/old"
	chroot "$root_of" ldconfig || return
	cat >"$root_of/etc/systemd/system/clite-test.target" <<-'UNIT'
		[Unit]
		Description=Nothing but a system manager
	UNIT
	# there is no journal, and nobody waits a minute
	cat >"$root_of/etc/systemd/system/clited.service.d/test.conf" <<-'UNIT'
		[Unit]
		DefaultDependencies=no
		[Service]
		StandardError=append:/log
		WatchdogSec=2
		RestartSec=100ms
	UNIT
}

# The first process of the machine becomes systemd.
# shellcheck disable=SC2016
first_process='
	cd "$0" && mount -t proc proc proc && mount -t sysfs sysfs sys &&
	mount -t bpf bpf sys/fs/bpf && mount -t cgroup2 cgroup2 sys/fs/cgroup &&
	mount -t tmpfs tmpfs run && mount -t tmpfs tmpfs tmp && mount -t tmpfs tmpfs dev || exit
	while read -r name major minor; do
		mknod -m 666 "dev/$name" c "$major" "$minor" || exit
	done <<-NODES
		null 1 3
		zero 1 5
		full 1 7
		random 1 8
		urandom 1 9
		tty 5 0
	NODES
	mkdir dev/shm dev/pts && mount -t devpts -o newinstance,ptmxmode=666 devpts dev/pts &&
		ln -s pts/ptmx dev/ptmx || exit
	pivot_root . old && umount -l old || exit
	exec env -i container=clite-test PATH="$PATH" /lib/systemd/systemd --system \
		--unit=clite-test.target --log-target=null \
		</dev/null >/dev/null 2>&1'

boot() {
	local outer

	(
		echo $BASHPID >"$tmp/cgroup/clite-systemd/cgroup.procs" &&
			exec unshare --pid --fork --kill-child --mount --cgroup --ipc --uts --net \
				bash -c "$first_process" "$root_of"
	) 2>/dev/null &
	outer=$!
	wait_for eval "systemd=\$(pgrep -P $outer)" && systemd=$(pgrep -P "$outer") || return
	wait_for inside systemctl show -p Version
}

inside() {
	nsenter -t "$systemd" --mount --pid --net --cgroup --root --wd -- "$@"
}

show() {
	inside systemctl show -p "$1" --value clited.service
}

shows() {
	[[ $(show "$1") == "$2" ]]
}

has_text() {
	[[ $(show "$1") == *"$2"* ]]
}

configure() {
	cat >"$root_of/etc/cilium-lite/clited.yaml"
}

log_has() {
	inside grep -qF -e "$1" /log
}

# All that needs a place to write to.
right_configuration() {
	local hubble='hubble: {listen: [unix:///run/cilium-lite/hubble.sock]}'

	[[ -e $BUILD/src/hubble/libcilium-lite-hubble.so ]] || hubble=
	configure <<-YAML
		services: [/etc/cilium-lite/services.yaml]
		metrics: unix:///run/cilium-lite/metrics.sock
		flow-logs: [{path: /var/log/cilium-lite/flows.log}]
		$hubble
	YAML
}

# A file of services with one at this address.
service_file() {
	cat >"$root_of/etc/cilium-lite/services.yaml" <<-YAML
		apiVersion: v1
		kind: Service
		metadata: {name: web}
		spec: {clusterIP: $1, ports: [{port: 80}]}
	YAML
}

has_service() {
	inside clite -i default service list | grep -qF -e "$1:80"
}

# ---- the unit -----------------------------------------------------------------------

status_of() {
	inside cat "/proc/$(show MainPID)/status"
}

# Linux' numbers: net_admin 12, perfmon 38, bpf 39.
privileges_are() {
	local expected=000000c000001000

	status_of >"$tmp/status" || return
	grep -qE "^CapEff:\s+$expected$" "$tmp/status" &&
		grep -qE "^CapBnd:\s+$expected$" "$tmp/status" &&
		grep -qE '^NoNewPrivs:\s+1$' "$tmp/status" &&
		grep -qE '^Seccomp:\s+2$' "$tmp/status" || { cat "$tmp/status"; return 1; }
}

reloads() {
	service_file 10.96.0.2 && inside systemctl reload clited.service && wait_for has_service 10.96.0.2 &&
		refused has_service 10.96.0.1 && shows ActiveState active
}

keeps_a_wrong_configuration_away() {
	local pid

	pid=$(show MainPID)
	echo 'services: 7' | configure
	inside systemctl reload clited.service && wait_for log_has 'the configuration stays as it was' &&
		shows ActiveState active && shows MainPID "$pid" && has_service 10.96.0.2
}

# Killed by signal $1, there is another one soon, and the datapath never went.
comes_back() {
	local pid

	pid=$(show MainPID)
	[[ $pid -gt 1 ]] || return
	inside kill "-$1" "$pid" && wait_for eval "! shows MainPID $pid && shows ActiveState active" &&
		has_service 10.96.0.2
}

stops() {
	inside systemctl stop clited.service && shows ActiveState inactive && shows Result success &&
		has_service 10.96.0.2
}

# Exit code 2 is for people: no other try.
fails_for_good() {
	echo 'nonsense: 1' | configure
	refused inside systemctl start clited.service && shows ActiveState failed &&
		shows ExecMainStatus 2 && shows NRestarts 0
}

unit_is_right() {
	inside systemd-analyze verify clited.service >"$tmp/verify" 2>&1 && ! [[ -s $tmp/verify ]] ||
		{ cat "$tmp/verify"; return 1; }
}

prepare || die "a copy of the root"
boot || die "systemd does not come up"
service_file 10.96.0.1
right_configuration

check "systemd finds nothing wrong with the unit" unit_is_right
check "it starts, and says when it is ready" inside systemctl start clited.service
[[ $failed -eq 0 ]] || { inside systemctl status clited.service; cat "$root_of/log"; die "the daemon does not start"; }
check "it is active" shows ActiveState active
check "it says what it does" has_text StatusText "1 service files"
check "the service of the file is there" has_service 10.96.0.1
check "its flows have a log" inside test -f /var/log/cilium-lite/flows.log
check "metrics have a socket" inside test -S /run/cilium-lite/metrics.sock
if [[ -e $BUILD/src/hubble/libcilium-lite-hubble.so ]]; then
	check "Hubble's clients are served" wait_for inside clite hubble status \
		--server unix:///run/cilium-lite/hubble.sock
fi
check "it has three capabilities, and can get no more" privileges_are
check "a reload brings what has changed" reloads
check "a wrong configuration changes nothing" keeps_a_wrong_configuration_away
right_configuration
check "killed, it comes back" comes_back KILL
check "hung, the watchdog brings another" comes_back STOP
check "stopped, it leaves the datapath as it is" stops
check "with a wrong configuration it fails once" fails_for_good
done_testing

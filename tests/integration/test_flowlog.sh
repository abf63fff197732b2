#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# The daemon's flow logs beside the traffic that fills them: masks, filters, rotation,
# SIGHUP, a disk that is full, a folder that comes later, and reading them back.
# shellcheck disable=SC2317 # functions are called by name
# shellcheck source=tests/integration/lib.sh
. "$(dirname "$0")/lib.sh"

config=$tmp/clited.yaml
logs=$tmp/logs
daemon=0
next=20000 # source port of the next connection: tells them apart

[[ -x $BUILD/tools/clited/clited ]] || { echo "the build has no daemon clited"; exit 77; }

# ---- the daemon ---------------------------------------------------------------------

start_clited() {
	: >"$tmp/log"
	"$BUILD/tools/clited/clited" --config "$config" --log-level debug 2>"$tmp/log" >"$tmp/stdout" &
	daemon=$!
	wait_for logged "instance 'default'" || die "clited: $(cat "$tmp/log")"
}

logged() {
	grep -qF -e "$1" "$tmp/log"
}

stop_clited() {
	kill "$daemon"
	wait "$daemon" || { echo "it ended with status $?"; cat "$tmp/log"; return 1; }
}

# SIGHUP, and wait until it was heard.
reload() {
	local before

	before=$(grep -c "reading .* again" "$tmp/log")
	kill -HUP "$daemon"
	wait_for heard "$before"
}

heard() {
	[[ $(grep -c "reading .* again" "$tmp/log") -gt $1 ]]
}

# ---- traffic and what is in the logs ---------------------------------------------------

# Connections from the client to where nobody listens: connect N
connect() {
	in_ns client python3 - "$(address4 11)" "$next" "$1" <<'PY' || return
import errno, socket, sys
address, first, n = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
for port in range(first, first + n):
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind(("", port))
    assert s.connect_ex((address, 81)) == errno.ECONNREFUSED
    s.close()
PY
	next=$((next + $1))
}

# Connect until there is a file "enough"; the number to go on with is in "next".
connect_on() {
	while [[ ! -e $tmp/enough ]]; do
		connect 5 || return
	done
	echo "$next" >"$tmp/next"
}

# An expression over "flows", the flows of these files in their order, "lost", how many are
# said to be lost, and "files": read EXPRESSION FILE...
read_logs() {
	python3 - "$@" <<'PY'
import gzip, json, sys
flows, lost, files = [], 0, sys.argv[2:]
for name in files:
    with (gzip.open if name.endswith(".gz") else open)(name, "rt") as f:
        for line in f:
            assert line.endswith("\n"), f"{name}: cut off: {line!r}"
            d = json.loads(line)
            lost += int(d.get("lost_events", {}).get("num_events_lost", 0))
            if "flow" in d:
                flows.append(d)

def ports():
    "Source ports of the connections that are there, once for each time"
    return sorted(f["flow"]["l4"]["TCP"]["source_port"] for f in flows
                  if f["flow"].get("trace_reason") == "NEW" and "TCP" in f["flow"]["l4"])

print(eval(sys.argv[1]))
PY
}

# The connections from a port on are in these files, each once: complete FIRST FILE...
complete() {
	local first=$1

	shift
	prints "True" read_logs "ports() == list(range($first, $next)) or ports()" "$@"
}

# ---- tests ---------------------------------------------------------------------------------

configure() {
	cat >"$config"
}

whole_flows() {
	wait_for complete 20000 "$logs/all.log" && complete 20000 "$logs/all.log" || return
	prints "{('client', 'web1')}" read_logs "{(f['flow']['source']['pod_name'],
		f['flow']['destination']['pod_name']) for f in flows if f['flow'].get('trace_reason') == 'NEW'}" \
		"$logs/all.log" || return
	prints "{'$(hostname)'}" read_logs "{f['node_name'] for f in flows}" "$logs/all.log"
}

masked_flows() {
	wait_for test -s "$logs/masked.log" || return
	prints "['flow', 'time'] ['destination', 'l4', 'time', 'verdict'] ['pod_name'] ['TCP'] ['destination_port']" \
		read_logs "f'{sorted(flows[0])} {sorted(flows[0][\"flow\"])} {sorted(flows[0][\"flow\"][\"destination\"])} \
{sorted(flows[0][\"flow\"][\"l4\"])} {sorted(flows[0][\"flow\"][\"l4\"][\"TCP\"])}'" "$logs/masked.log" || return
	prints "{('web1', 81)}" read_logs "{(f['flow']['destination']['pod_name'],
		f['flow']['l4']['TCP']['destination_port']) for f in flows}" "$logs/masked.log"
}

filtered_flows() {
	! get other "$(address4 11)" '' --max-time 1 >/dev/null 2>&1 || return
	wait_for test -s "$logs/drops.log" || return
	prints "{('DROPPED', 'other')}" read_logs "{(f['flow']['verdict'],
		f['flow']['source']['pod_name']) for f in flows}" "$logs/drops.log" || return
	# the same, and the others, are in the log without filters
	prints "True" read_logs "{f['flow']['verdict'] for f in flows} > {'DROPPED'}" "$logs/all.log"
}

# Every packet, where the others tell new flows only.
every_packet() {
	wait_for test -s "$logs/packets.log" || return
	prints "True" read_logs "len(flows) > 3 * len(ports())" "$logs/packets.log"
}

standard_output() {
	wait_for test -s "$tmp/stdout" && prints "True" read_logs "len(flows) > 0" "$tmp/stdout"
}

rehearsed() {
	allow clients web1 nobody >"$tmp/nobody.yaml"
	clite policy rehearse "$tmp/nobody.yaml" --flows "$logs/all.log" >"$tmp/rehearsed" 2>"$tmp/err" || return
	grep -q "^would be DROPPED: .* client:20000 .* -> web1:81 " "$tmp/rehearsed" ||
		{ cat "$tmp/rehearsed" "$tmp/err"; return 1; }
}

# As logrotate does it, again and again, while flows come.
reloaded() {
	local n connecting

	connect_on &
	connecting=$!
	for ((n = 0; n < 8; n++)); do
		wait_for test -s "$logs/all.log" && mv "$logs/all.log" "$logs/all.$n" && reload || return
	done
	touch "$tmp/enough"
	wait "$connecting" || return
	next=$(cat "$tmp/next")
	connect 5
	stop_clited || return
	[[ -s $logs/all.7 && -s $logs/all.log ]] || { ls -l "$logs"; return 1; }
	complete 20000 "$logs"/all.? "$logs/all.log" && start_clited
}

# A log that is another now, one that is gone, one that is new; the others go on.
changed() {
	local first=$next

	configure <<-YAML
	flow-logs:
	- path: $logs/all.log
	- path: $logs/masked.log
	  field-mask: [source.pod_name]
	- path: $logs/new.log
	YAML
	reload && connect 3 && wait_for complete "$first" "$logs/new.log" || return
	stop_clited || return
	prints "{('source',)}" read_logs "{tuple(f['flow']) for f in flows[-3:]}" "$logs/masked.log" || return
	complete 20000 "$logs"/all.? "$logs/all.log" || return
	[[ $(read_logs "max(ports())" "$logs/packets.log") -lt $first ]]
}

# The only log is filtered in the datapath already. Another one comes and goes under traffic:
# the first gets all that is its own, once, and no ring ever has the rest.
narrowed() {
	local first=$next one two n connecting

	one="{path: $logs/one.log, include-filters: [{destination_port: ['81']}, {verdict: [DROPPED]}]}"
	two="{path: $logs/two.log}"
	echo "flow-logs: [$one]" >"$config"
	start_clited
	rm -f "$tmp/enough"
	connect_on &
	connecting=$!
	for ((n = 0; n < 3; n++)); do
		echo "flow-logs: [$one, $two]" >"$config"
		reload && wait_for test -s "$logs/two.log" || return
		echo "flow-logs: [$one]" >"$config"
		reload && wait_for grew "$logs/one.log" || return
		rm "$logs/two.log"
	done
	touch "$tmp/enough"
	wait "$connecting" || return
	next=$(cat "$tmp/next")
	stop_clited && complete "$first" "$logs/one.log"
}

# A file is larger than when it was looked at the first time.
grew() {
	[[ -e $tmp/size ]] || stat -c %s "$1" >"$tmp/size"
	[[ $(stat -c %s "$1") -gt $(cat "$tmp/size") ]] && rm "$tmp/size"
}

bad_reload() {
	echo "flow-logs: [{path: $logs/all.log, field-mask: [sauce]}]" >"$config"
	kill -HUP "$daemon"
	wait_for logged "clited.yaml:1: field-mask: 'sauce': a flow has no such member" &&
		wait_for logged "the configuration stays as it was"
}

rotated() {
	local first=$next olds

	configure <<-YAML
	flow-logs:
	- path: $logs/small.log
	  max-size: 16K
	  max-files: 1000
	  compress: true
	- path: $logs/few.log
	  max-size: 16K
	  max-files: 2
	YAML
	start_clited
	connect 200
	stop_clited || return
	olds=("$logs"/small-*.log.gz)
	[[ ${#olds[@]} -gt 5 && ! -e $(echo "$logs"/small-*.log) ]] || { ls -l "$logs"; return 1; }
	complete "$first" "${olds[@]}" "$logs/small.log" || return
	prints "True" read_logs "all(__import__('os').path.getsize(f) <= 16384 for f in files)" \
		"${olds[@]}" "$logs/small.log" "$logs"/few*.log || return
	prints "3" read_logs "len(files)" "$logs"/few*.log
}

# The disk is full: what comes is kept, and written when there is room.
full() {
	local first=$next

	mkdir "$tmp/disk" && mount -t tmpfs -o size=32k tmpfs "$tmp/disk" || return
	configure <<-YAML
	flow-logs:
	- path: $tmp/disk/flows.log
	YAML
	start_clited
	connect 60
	wait_for logged "flows.log: No space left on device" || { cat "$tmp/log"; return 1; }
	connect 20
	prints "True" read_logs "0 < len(ports()) < 60" "$tmp/disk/flows.log" || return
	mount -o remount,size=10m "$tmp/disk" || return
	wait_for logged "flows.log: all is well again; 0 flows were lost" || return
	connect 5
	stop_clited && complete "$first" "$tmp/disk/flows.log"
	local status=$?
	umount "$tmp/disk"
	return "$status"
}

# What cannot be opened is opened as soon as it can, and says what it has missed.
later() {
	configure <<-YAML
	flow-logs:
	- path: $tmp/later/flows.log
	YAML
	start_clited
	logged "$tmp/later/flows.log: its directory '$tmp/later/': No such file or directory" || return
	connect 5
	mkdir "$tmp/later"
	wait_for logged "all is well again" || { cat "$tmp/log"; return 1; }
	local first=$next
	connect 5
	stop_clited || return
	prints "True" read_logs "lost >= 5" "$tmp/later/flows.log" && complete "$first" "$tmp/later/flows.log"
}

# Killed: what it had not written is lost, what it had is whole, and the next one goes on.
killed() {
	local first=$next

	echo "flow-logs: [{path: $logs/killed.log}]" >"$config"
	start_clited
	connect 5
	wait_for complete "$first" "$logs/killed.log" || return
	kill -KILL "$daemon"
	wait "$daemon" 2>/dev/null
	start_clited
	connect 5
	stop_clited && complete "$first" "$logs/killed.log"
}

symbolic_link() {
	touch "$tmp/victim"
	ln -s "$tmp/victim" "$logs/link.log"
	echo "flow-logs: [{path: $logs/link.log}]" >"$config"
	start_clited
	connect 2
	logged "$logs/link.log: is a symbolic link" || return
	stop_clited && [[ ! -s $tmp/victim ]]
}

# ---- the stage --------------------------------------------------------------------------------

make_host
workload client 10
workload web1 11
workload other 12
serve web1
clite instance create default >/dev/null || die "cannot create an instance"
for name in client:10 web1:11 other:12; do endpoint "${name%:*}" "${name#*:}"; done
allow clients web1 client | import
mkdir "$logs"

configure <<YAML
flow-logs:
- path: $logs/all.log
- path: $logs/masked.log
  field-mask: [time, verdict, destination.pod_name, l4.TCP.destination_port]
  include-filters:
  - destination_port: ["81"]
    destination_identity: [$(clite endpoint get 11 -o json | query 'd[0]["status"]["identity"]["id"]')]
    verdict: [FORWARDED]
- path: $logs/drops.log
  include-filters:
  - verdict: [DROPPED]
  exclude-filters:
  - source_pod: [client]
- path: $logs/packets.log
  aggregation: none
  max-size: 100M
- path: stdout
  field-mask: [verdict]
YAML
start_clited
connect 10
check "flows as they are" whole_flows
check "a field mask, and filters" masked_flows
check "filters" filtered_flows
check "every packet" every_packet
check "standard output" standard_output
check "policy rehearse reads them" rehearsed
check "SIGHUP under traffic loses nothing" reloaded
check "a bad configuration is refused" bad_reload
check "logs that change, go and come" changed
check "one log, then two, then one again" narrowed
check "rotation and compression" rotated
check "a disk that is full" full
check "a folder that comes later" later
check "killed" killed
check "a symbolic link" symbolic_link
done_testing

#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# The daemon without an instance: options, messages, exit codes, its configuration, its
# manual. What it does is in tests/integration/test_clited.sh. Needs no root.
# shellcheck disable=SC2317 # functions are called by name
# shellcheck source=tests/api/lib.sh
. "$(dirname "$0")/../api/lib.sh"

manual=$root/docs/man/clited.8
tool=$BUILD/tools/clited/clited
config=$tmp/clited.yaml
export LC_ALL=C.UTF-8

if [[ ! -x $tool ]]; then
	echo "the build has no daemon clited"
	exit 77
fi

# It ends with this status, and what it prints has this in it, on standard output if it is
# 0, else on standard error, and only there: ends STATUS TEXT [OPTION]...
ends() {
	local expected=$1 text=$2 status=0 said=$tmp/err silent=$tmp/out

	shift 2
	timeout 10 "$tool" "$@" >"$tmp/out" 2>"$tmp/err" </dev/null || status=$?
	[[ $status -ne 0 ]] || said=$tmp/out silent=$tmp/err
	[[ $status -eq $expected && ! -s $silent ]] && grep -qF -e "$text" "$said" && return
	echo "status $status, expected $expected with: $text"
	cat "$tmp/out" "$tmp/err"
	return 1
}

# The configuration on standard input is refused: wrong LINE TEXT
wrong() {
	cat >"$config"
	ends 2 "clited.yaml:$1: $2" --check-config --config "$config"
}

# The same for one more line of a flow log: wrong_log LINE TEXT
wrong_log() {
	wrong 3 "$2" <<YAML
flow-logs:
- path: /a
  $1
YAML
}

# The same for one more line of a check: wrong_line LINE TEXT
wrong_line() {
	wrong 3 "$2" <<YAML
health-checks:
- services: ["*"]
  $1
YAML
}

right() {
	cat >"$config"
	ends 0 "$1" --check-config --config "$config"
}

# ---- options ----------------------------------------------------------------------

manual_has_every_option() {
	local option missing=0

	MANWIDTH=500 man -l "$manual" 2>/dev/null | col -bx >"$tmp/manual"
	for option in $("$tool" --help | grep -oE -- '--[a-z-]+'); do
		grep -qF -e "$option" "$tmp/manual" || { echo "$option"; missing=1; }
	done
	return "$missing"
}

manual_renders() {
	groff -man -ww -z "$manual" 2>&1 | grep . && return 1
	return 0
}

# The example in the manual is right.
has_hubble() {
	echo "hubble: {}" >"$tmp/hubble.yaml"
	"$tool" --check-config --config "$tmp/hubble.yaml" >/dev/null 2>&1
}

manual_example() {
	sed -n '/^\.EX/,/^\.EE/p' "$manual" | sed '1d;$d' >"$config"
	has_hubble || sed -i '/^hubble:/,/^[^ h]/{/^h/d;/^ /d}; /^hubble-metrics:/d' "$config"
	ends 0 "2 health checks, 1 service files, 1 flow logs" --check-config --config "$config"
}

completes() {
	local COMP_WORDS=(clited --lo) COMPREPLY=()

	# shellcheck source=tools/clited/clited.bash
	. "$root/tools/clited/clited.bash"
	PATH=$(dirname "$tool"):$PATH
	_clited clited --log- clited
	[[ ${COMPREPLY[*]} == --log-level ]] || { echo "${COMPREPLY[@]}"; return 1; }
	_clited clited de --log-level
	[[ ${COMPREPLY[*]} == debug ]]
}

closed_streams() {
	"$tool" --check-config --config "$config" <&- >&- 2>&-
	[[ $? -le 1 ]]
}

check "--help" ends 0 "--check-config" --help
check "--version" ends 0 "clited 0." --version
check "an option that is none" ends 2 "--nonsense" --nonsense
check "an option without its value" ends 2 "a value is missing after --config" --config
check "an option with a value too many" ends 2 "--create=yes" --create=yes
check "an argument" ends 2 "it takes no arguments: start" start
check "a level that is none" ends 2 "not loud" --log-level loud
check "completion" completes
if command -v man >/dev/null && command -v groff >/dev/null && command -v col >/dev/null; then
	check "the manual has every option" manual_has_every_option
	check "the manual renders without warnings" manual_renders
else
	echo "skip: no man, groff and col: the manual is not looked at"
fi
check "the example in the manual" manual_example
check "standard streams that are closed" closed_streams

# ---- configurations ------------------------------------------------------------------

check "no such file" ends 2 "nowhere.yaml: No such file" --check-config --config "$tmp/nowhere.yaml"
check "a folder" ends 2 "Is a directory" --check-config --config "$tmp"
check "an empty one" ends 2 "it is empty" --check-config --config /dev/null
check "a wrong one is refused at the start, too" ends 2 "it is empty" --config /dev/null
check "not YAML" wrong 2 "not YAML: " <<<$'health-checks:\n- ]'
check "no map" wrong 1 "the configuration: a map of keys and values is wanted" <<<"[1]"
check "two documents" wrong 3 "a second document" <<<$'zone: a\n---\nzone: b'
check "an unknown key" wrong 2 \
	"unknown key 'nodes'; there are: health-checks, services, flow-logs, node, zone, node-addresses, hubble, metrics, hubble-metrics" <<<$'zone: a\nnodes: b'
check "a key twice" wrong 3 "the key 'zone' is there twice" <<<$'zone: a\nnode: a\nzone: b'
check "no list" wrong 1 "services: a list is wanted" <<<"services: /a"
check "a list for one value" wrong 1 "zone: a single value is wanted, not a list" <<<"zone: [a]"
check "an empty value" wrong 1 "node: it is empty" <<<"node: ''"
check "a relative path" wrong 2 "services: 'a.yaml' is not an absolute path" <<<$'services:\n- a.yaml'
check "a file twice" wrong 1 "services: '/a' is there twice" <<<"services: [/a, /a]"
check "an address of a node" wrong 1 "node-addresses: '10.0.0.300' is not an address" <<<"node-addresses: [10.0.0.300]"
check "a check without services" wrong 2 "a health check without services" <<<$'health-checks:\n- kind: tcp'
check "a selector" wrong 2 "services: '10.0.0.1:http' is neither a name, a pattern, nor ADDRESS[:PORT[/PROTOCOL]]" \
	<<<$'health-checks:\n- services: ["10.0.0.1:http"]'
check "a key of a check" wrong_line "intervall: 5s" "unknown key 'intervall'; there are: services, kind, interval"
check "a kind" wrong_line "kind: icmp" "kind: 'icmp' is neither tcp nor http"
for value in 5 often 0s 5h 61m -1s 99999999999999999999s; do
	check "an interval of $value" wrong_line "interval: $value" "interval: '$value' is not a time from 10ms to 60m"
done
check "a timeout" wrong 2 "the timeout, 2000 ms, is longer than the interval, 1000 ms" <<YAML
health-checks:
- services: ["*"]
  interval: 1s
  timeout: 2s
YAML
for value in 0 1001 -1 many; do
	check "rise: $value" wrong_line "rise: $value" "rise: '$value' is not a number from 1 to 1000"
done
for value in 0 65536; do
	check "port: $value" wrong_line "port: $value" "port: '$value' is not a number from 1 to 65535"
done
for value in 99 600 200-100 200- 2000 all; do
	check "status: $value" wrong_line "status: $value" "status: '$value' is not a status or a range"
done
check "a path" wrong_line "path: healthz" "path: 'healthz' does not begin with /"
check "a path with a blank" wrong_line "path: /a b" "path: it has a blank in it"
check "a host with a line end" wrong_line 'host: "a\r\nb"' "host: it has a control character in it"
check "a source of the other family" wrong_line "source4: fd00::1" "source4: 'fd00::1' is not an IPv4 address"
check "fail-open" wrong_line "fail-open: maybe" "fail-open: 'maybe' is neither true nor false"
check "a path without HTTP" wrong 2 "path, host and status are for 'kind: http'" \
	<<<$'health-checks:\n- services: ["*"]\n  path: /'
check "JSON" right "1 health checks, 0 service files" <<<'{"health-checks": [{"services": ["web", "[fd00::1]:80/tcp"], "kind": "http"}]}'
for value in 9962 127.0.0.1 127.0.0.1:0 :65536 localhost:9962 '[::1]' 127.0.0.1:80/tcp unix: unix:x / relative/path; do
	check "metrics: $value" wrong 1 "metrics: '$value' is none of ADDRESS:PORT, [ADDRESS]:PORT, :PORT or unix:/PATH" \
		<<<"metrics: '$value'"
done
for value in 127.0.0.1:9962 '[::1]:9962' :9962 unix:///run/x unix:/run/x /run/x; do
	check "metrics: $value" right "0 health checks, 0 service files" <<<"metrics: '$value'"
done
hubble() {
	wrong "$1" "$2" <<YAML
hubble:
  flows: 100
  listen: $3
YAML
}

if has_hubble; then
	check "hubble: a list of addresses" right "0 health checks" <<<"hubble: {listen: [unix:///run/h.sock, ':4244'], flows: 65535, aggregation: none}"
	check "hubble: listeners with TLS" right "0 health checks" \
		<<<"hubble: {listen: [{address: ':4244', cert: a, key: b, client-ca: c, server-name: d, announce: 'e:1', mode: '0600'}]}"
	check "hubble: no list" hubble 3 "listen: a list is wanted" ':4244'
	check "hubble: no address" hubble 3 "listen: an address is missing" '[{cert: a, key: b}]'
	check "hubble: a certificate alone" hubble 3 "listen: ':1' has a cert and no key" '[{address: ":1", cert: a}]'
	check "hubble: a CA alone" hubble 3 "listen: ':1' has a client-ca, but neither cert nor key" '[{address: ":1", client-ca: a}]'
	check "hubble: a mode" hubble 3 "mode: '888' is not a mode such as 0640" '[{address: ":1", mode: 888}]'
	check "hubble: an address twice" hubble 3 "listen: ':1' is there twice" '[":1", {address: ":1"}]'
	check "hubble: an unknown key" hubble 3 "unknown key 'port'; there are: address, cert, key" '[{port: 1}]'
	check "hubble: no flows" wrong 1 "flows: '0' is not a number from 1" <<<"hubble: {flows: 0}"
	check "hubble: aggregation" wrong 1 "aggregation: 'low' is neither medium nor none" <<<"hubble: {aggregation: low}"
	check "hubble-metrics" right "0 health checks" <<<"hubble-metrics: [drop, 'flow:sourceContext=pod|ip', flows-to-world:port]"
	check "hubble-metrics: what is none" wrong 2 "hubble-metrics: metric 'frob' is none of drop, flow" <<<$'zone: a\nhubble-metrics: [drop, frob]'
	check "hubble-metrics: a bad context" wrong 1 "hubble-metrics: metric 'drop': sourceContext: 'pods' is none of identity, namespace, pod" \
		<<<"hubble-metrics: ['drop:sourceContext=pods']"
	check "hubble-metrics: twice" wrong 1 "hubble-metrics: metric 'drop' is there twice" <<<"hubble-metrics: [drop, drop]"
else
	check "hubble-metrics: not built" wrong 1 "hubble-metrics: this clited was built without libcilium-lite-hubble" \
		<<<"hubble-metrics: [drop]"
	check "hubble: not built" wrong 1 "hubble: this clited was built without libcilium-lite-hubble" \
		<<<"hubble: {listen: [':4244']}"
fi
check "hubble-metrics: no list" wrong 1 "hubble-metrics: a list is wanted" <<<"hubble-metrics: drop"
check "--metrics" ends 2 "--metrics: ADDRESS:PORT, [ADDRESS]:PORT, :PORT or unix:/PATH, not here" --metrics here
check "nothing but files" right "0 health checks, 2 service files" <<<'services: [/a, /b]'
check "a flow log without a path" wrong 2 "a flow log without a path" <<<$'flow-logs:\n- compress: true'
check "a relative path of a flow log" wrong 2 "path: 'a.log' is neither an absolute path nor stdout" \
	<<<$'flow-logs:\n- path: a.log'
check "a flow log twice" wrong 3 "flow-logs: '/a' is there twice" <<<$'flow-logs:\n- path: /a\n- path: /a'
check "a key of a flow log" wrong_log "maxsize: 1" "unknown key 'maxsize'; there are: path, max-size, max-files"
for value in 0 10MB 1.5M M -1 9999999999G; do
	check "max-size: $value" wrong_log "max-size: $value" "max-size: '$value' is not a size such as 4096, 512K, 10M"
done
check "max-files" wrong_log "max-files: 0" "max-files: '0' is not a number from 1 to 1000000"
for value in 9 0000 0444 1777 rw; do
	check "mode: $value" wrong_log "mode: $value" "mode: '$value' is not a mode such as 0640"
done
check "aggregation" wrong_log "aggregation: low" "aggregation: 'low' is neither medium nor none"
check "a field mask" wrong_log "field-mask: [time, source.pod]" \
	"field-mask: 'source.pod': 'source' has no such part; there are: ID, identity, cluster_name, namespace"
check "a filter's field" wrong_log "include-filters: [{pod: [a]}]" "include-filters: "
check "a filter's value" wrong_log "exclude-filters: [{verdict: [LOST]}]" "exclude-filters: "
check "a filter that is none" wrong_log "include-filters: [a]" "include-filters: "
check "a filter in circles" wrong_log "include-filters: [&a {source_pod: *a}]" "include-filters: it is longer than 65536 bytes, or deeper"
check "flow logs" right "0 health checks, 0 service files, 2 flow logs" <<YAML
flow-logs:
- path: /var/log/a.log
  max-size: 64M
  max-files: 3
  mode: "0640"
  compress: true
  aggregation: none
  field-mask: [time, source.pod_name, l4]
  include-filters:
  - source_pod: ["default/"]
    event_type: [{type: 1}]
  - verdict: [DROPPED]
    source_label: ["app in (a, b), !old"]
  exclude-filters: []
- path: stdout
YAML
done_testing

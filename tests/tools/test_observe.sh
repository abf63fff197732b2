#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# "clite observe" and "clite hubble" without an instance: options as filters, forms of
# output, files, and servers that are not ours and may be odd.
# shellcheck disable=SC2317 # functions are called by name
# shellcheck source=tests/api/lib.sh
. "$(dirname "$0")/../api/lib.sh"

if [[ ! -x ${BUILD:?BUILD must name a build directory}/tools/clite/clite ]]; then
	echo "the build has no tool clite"
	exit 77
fi
unset CLITE_HUBBLE_SERVER HUBBLE_SERVER
export LC_ALL=C.UTF-8 TZ=Asia/Tokyo # times are UTC wherever one is

clite() {
	timeout 60 "$BUILD/tools/clite/clite" "$@"
}

# ---- options to filters -----------------------------------------------------------

# Options give these filters, in the YAML of hubble's --print-raw-filters:
# filters ALLOW DENY OPTION...  (lists of JSON, a line each)
filters() {
	local allow=$1 deny=$2

	shift 2
	{
		[[ -z $allow ]] || printf 'allowlist:\n'
		[[ -z $allow ]] || sed "s/'/''/g; s/.*/    - '&'/" <<<"$allow"
		[[ -z $deny ]] || printf 'denylist:\n'
		[[ -z $deny ]] || sed "s/'/''/g; s/.*/    - '&'/" <<<"$deny"
	} >"$tmp/expected"
	clite observe --print-raw-filters "$@" >"$tmp/actual" 2>&1
	diff -u "$tmp/expected" "$tmp/actual"
}

# An option about both ends: both OPTION VALUE FIELD [JSON]
both() {
	local json=${4-"\"$2\""}

	filters "{\"source_$3\":[$json]}"$'\n'"{\"destination_$3\":[$json]}" '' "--$1" "$2" &&
		filters "{\"source_$3\":[$json]}" '' "--from-$1" "$2" &&
		filters "{\"destination_$3\":[$json]}" '' "--to-$1" "$2" &&
		filters '' "{\"source_$3\":[$json]}"$'\n'"{\"destination_$3\":[$json]}" \
			--not "--$1" "$2"
}

# one OPTION VALUE FIELD [JSON]
one() {
	filters "{\"$3\":[${4-"\"$2\""}]}" '' "--$1" "$2"
}

check "no options, no filters" filters '' ''
check "--ip" both ip 10.0.0.0/8 ip
check "--pod" both pod kube-system/dns- pod
check "--label" both label 'app=web,tier in (a, b)' label
check "--service" both service default/web service
check "--port" both port 8080 port
check "--fqdn" both fqdn '*.cilium.io' fqdn
check "--identity" both identity 300 identity 300
check "--identity of a reserved name" both identity kube-apiserver identity 7
check "--workload" both workload Deployment/web workload '{"name":"web","kind":"Deployment"}'
check "--workload: only a name" both workload web workload '{"name":"web"}'
check "--workload: only a kind" both workload Job/ workload '{"kind":"Job"}'
check "--cluster" both cluster east cluster_name
check "--snat-ip" one snat-ip 1.2.3.4 source_ip_xlated
check "--verdict" one verdict REDIRECTED verdict
check "--drop-reason-desc" one drop-reason-desc POLICY_DENIED drop_reason_desc
check "--protocol" one protocol tcp protocol
check "--tcp-flags" one tcp-flags syn,Ack tcp_flags '{"SYN":true,"ACK":true}'
check "--traffic-direction" one traffic-direction ingress traffic_direction '"INGRESS"'
check "--type" one type l7 event_type '{"type":129}'
check "--type: a subtype of 0" one type trace:to-endpoint event_type \
	'{"type":4,"match_sub_type":true}'
check "--type: a subtype" one type trace:from-endpoint event_type \
	'{"type":4,"match_sub_type":true,"sub_type":5}'
check "--type: an agent's" one type agent:policy-updated event_type \
	'{"type":130,"match_sub_type":true,"sub_type":3}'
check "--type: numbers" one type 255:127 event_type \
	'{"type":255,"match_sub_type":true,"sub_type":127}'
check "--ip-version" one ip-version v6 ip_version '"IPv6"'
check "-4" filters '{"ip_version":["IPv4"]}' '' -4
check "--ipv6" filters '{"ip_version":["IPv6"]}' '' --ipv6
check "--interface" one interface eth0 interface '{"name":"eth0"}'
check "--encrypted" filters '{"encrypted":[true]}' '' --encrypted
check "--unencrypted" filters '{"encrypted":[false]}' '' --unencrypted
check "--node-name" one node-name 'k8s*' node_name
check "--node-label" one node-label a=b node_labels
check "--dns-query" one dns-query 'kube.*local' dns_query
check "--http-status" one http-status 5+ http_status_code
check "--http-method" one http-method get http_method
check "--http-path" one http-path '/page/\d+' http_path '"/page/\\d+"'
check "--http-url" one http-url http://x http_url
check "--http-header" one http-header foo:bar:baz http_header '{"key":"foo","value":"bar:baz"}'
check "--trace-id" one trace-id 0af7 trace_id
check "--uuid" one uuid 12-34 uuid
check "-n" filters '{"source_pod":["kube-system/"]}
{"destination_pod":["kube-system/"]}' '' -n kube-system
check "--from-namespace, twice" filters '{"source_pod":["a/","b/"]}' '' \
	--from-namespace a --from-namespace b
check "namespaces of pods and services" filters \
	'{"source_pod":["a/x"],"source_service":["a/y","a/z"]}' '' \
	--from-namespace a --from-pod x --from-service y --from-service a/z
check "-A" filters '{"source_pod":["/x"]}
{"destination_pod":["/x"]}' '' --pod x -A
check "values are ORed, fields ANDed, --not is about the next one" filters \
	'{"source_ip":["1.2.3.4","5.6.7.8"],"verdict":["DROPPED"],"http_method":["get"],"node_name":["k8s*"]}
{"destination_ip":["1.2.3.4","5.6.7.8"],"verdict":["DROPPED"],"http_method":["get"],"node_name":["k8s*"]}' \
	'{"source_pod":["deathstar"],"http_status_code":["200"]}
{"destination_pod":["deathstar"],"http_status_code":["200"]}' \
	--ip 1.2.3.4 --ip 5.6.7.8 --verdict DROPPED --not --pod deathstar --not --http-status 200 \
	--http-method get --node-name 'k8s*'
check "one-sided beside two-sided" filters \
	'{"source_pod":["cilium"],"destination_workload":[{"name":"app"}]}
{"destination_pod":["cilium"],"destination_workload":[{"name":"app"}]}' '' \
	--pod cilium --to-workload app
check "--allowlist and --denylist stay as they are" filters \
	'{"verdict":["DROPPED"]}
{"source_pod":["a/"]}
{"destinationPod":["b/"]}' '{"reply":[true]}' \
	--verdict DROPPED --allowlist '{"source_pod":["a/"]} {"destinationPod":["b/"]}' \
	--denylist '{"reply":[true]}'
check "a quote is YAML's" filters "{\"http_path\":[\"it's\"]}" '' --http-path "it's"

# Wrong usage, and what is said: wrong TEXT OPTION...
wrong() {
	local text=$1 status=0

	shift
	clite observe "$@" >"$tmp/out" 2>"$tmp/err" </dev/null || status=$?
	[[ $status -eq 2 && ! -s $tmp/out ]] && grep -qF -e "$text" "$tmp/err" && return
	echo "status $status, expected: $text"
	cat "$tmp/out" "$tmp/err"
	return 1
}

check "conflict" wrong "--from-ip and --fqdn cannot be combined" --from-ip 1.2.3.4 --fqdn x
check "conflict of namespaces" wrong "cannot be combined" -n a --from-pod x
check "a list of denials has its own conflicts" filters '{"source_ip":["::1"]}' \
	'{"source_fqdn":["x"]}' --from-ip ::1 --not --from-fqdn x
check "a pod in another namespace" wrong "'a/x' is not in namespace 'b'" --pod a/x -n b
check "a service in another namespace than the pod" wrong "is not in namespace 'a'" \
	--from-pod a/x --from-service b/y
check "--not behind nothing" wrong "--not is the last option" --ip 1.2.3.4 --not
check "--not twice" wrong "--not twice" --not --not --ip 1.2.3.4
check "verdict" wrong "'LATE' is none of FORWARDED" --verdict LATE
check "reason" wrong "'NO_REASON' is no drop reason" --drop-reason-desc NO_REASON
check "type" wrong "'thing' is none of capture, drop" -t thing
check "subtype" wrong "'somewhere' is no subtype of trace" -t trace:somewhere
check "flag" wrong "'FUN' is none of SYN" --tcp-flags syn,FUN
check "identity" wrong "'me' is neither the number" --identity me
check "direction" wrong "neither ingress nor egress" --traffic-direction up
check "header" wrong "'x' is not KEY:VALUE" --http-header x
check "address" wrong "'1.2.3.400'" --ip 1.2.3.400 --input-file /dev/null
check "selector" wrong "'a in ('" --label 'a in (' --input-file /dev/null
check "regular expression" wrong "'('" --http-path '(' --input-file /dev/null
check "CEL" wrong "CEL is not understood" --cel-expression true
check "JSON" wrong "--allowlist: not JSON" --allowlist '{'
check "JSON: field" wrong "--denylist: 'colour' is no field" --denylist '{"colour":["red"]}'
check "JSON: value" wrong "--allowlist: verdict: '\"SOSO\"'" --allowlist '{"verdict":["SOSO"]}'
check "JSON: no list" wrong "--allowlist: uuid: a list is needed" --allowlist '{"uuid":"x"}'
check "--first and --last" wrong "--first and --last cannot" --first 1 --last 1
check "--since" wrong "'tomorrow' is not a time" --since tomorrow
check "--since: no such day" wrong "'2024-02-30' is not a time" --since 2024-02-30
check "--time-format" wrong "'X' is none of StampMilli" --time-format X
check "--output" wrong "'xml' is none of compact" -o xml
check "--color" wrong "'blue' is none of auto" --color blue
check "--last of an instance" wrong "an instance keeps no flows" --last 5
check "--until of an instance, over" wrong "that time is over" --until 5s
check "a table of an instance has an end" wrong "give --first or --until" -o table
check "a table that is followed" wrong "a table has an end" -o table --follow --server x
check "what to observe" wrong "'birds' is none of flows" birds
check "agent events of an instance" wrong "only a server has them" agent-events
check "agent events have no filters" wrong "there are no filters" agent-events --server x --ip ::1

# ---- a file, and what is printed ---------------------------------------------------

python3 - >"$tmp/flows.json" <<'PY'
import json
for i in range(5):
    f = {"time": f"1970-01-01T00:20:3{i}.567890123Z", "verdict": "DROPPED",
         "IP": {"source": "1.1.1.1", "destination": "2.2.2.2", "ipVersion": "IPv4"},
         "l4": {"TCP": {"source_port": 31793, "destination_port": 8080, "flags": {"SYN": True}}},
         "source": {"identity": 4}, "destination": {"identity": 12345}, "Type": "L3_L4",
         "node_name": "k8s1", "event_type": {"type": 1, "sub_type": 133},
         "drop_reason_desc": "POLICY_DENIED", "is_reply": False, "Summary": "TCP Flags: SYN"}
    if i == 1:
        f["is_reply"] = True
        f["source"] |= {"namespace": "default", "pod_name": "web-1\x1b[31m"}
    if i == 2:
        del f["is_reply"]
        f |= {"event_type": {"type": 5}, "policy_match_type": 1, "traffic_direction": "EGRESS",
              "egress_denied_by": [{"name": "my-policy", "kind": "CiliumNetworkPolicy"},
                                   {"name": "other"}]}
    if i == 3:
        f |= {"event_type": {"type": 4, "sub_type": 0}, "verdict": "FORWARDED",
              "trace_observation_point": "TO_ENDPOINT", "destination_names": ["a.org", "b.org"],
              "source_service": {"name": "web", "namespace": "default"}}
        del f["drop_reason_desc"]
    if i == 4:
        f |= {"IP": {"source": "fd00::1", "destination": "fd00::2", "ipVersion": "IPv6"},
              "event_type": {"type": 5}, "verdict": "AUDIT", "traffic_direction": "INGRESS",
              "l4": {"UDP": {"source_port": 1, "destination_port": 53}}, "Summary": "UDP"}
        f["source"]["identity"] = 2
    print(json.dumps({"flow": f, "node_name": "k8s1", "time": f["time"]}))
PY

# What is printed of the file is standard input: prints_of OPTION...
prints_of() {
	cat >"$tmp/expected"
	clite observe --input-file "$tmp/flows.json" "$@" >"$tmp/actual" 2>&1
	diff -u "$tmp/expected" "$tmp/actual"
}

check "compact" prints_of <<'TXT'
Jan  1 00:20:30.567: 1.1.1.1:31793 (health) -> 2.2.2.2:8080 (ID:12345) Policy denied DROPPED (TCP Flags: SYN)
Jan  1 00:20:31.567: 2.2.2.2:8080 (ID:12345) <- default/web-1?[31m:31793 (health) Policy denied DROPPED (TCP Flags: SYN)
Jan  1 00:20:32.567: 1.1.1.1:31793 (health) <> 2.2.2.2:8080 (ID:12345) policy-verdict:L3-Only EGRESS DENIED (TCP Flags: SYN)
Jan  1 00:20:33.567: default/web:31793 (health) -> a.org,b.org:8080 (ID:12345) to-endpoint FORWARDED (TCP Flags: SYN)
Jan  1 00:20:34.567: [fd00::1]:1 (world) -> [fd00::2]:53 (ID:12345) policy-verdict:none INGRESS AUDITED (UDP)
TXT
check "compact, with node and policies" prints_of --print-node-name --print-policy-names \
	-t policy-verdict <<'TXT'
Jan  1 00:20:32.567 [k8s1]: 1.1.1.1:31793 (health) <> 2.2.2.2:8080 (ID:12345) policy-verdict:L3-Only EGRESS DENIED BY my-policy (CiliumNetworkPolicy), other (TCP Flags: SYN)
Jan  1 00:20:34.567 [k8s1]: [fd00::1]:1 (world) -> [fd00::2]:53 (ID:12345) policy-verdict:none INGRESS AUDITED (UDP)
TXT
check "--numeric" prints_of --numeric --verdict FORWARDED <<'TXT'
Jan  1 00:20:33.567: 1.1.1.1:31793 (health) -> 2.2.2.2:8080 (ID:12345) to-endpoint FORWARDED (TCP Flags: SYN)
TXT
check "--ip-translation=false" prints_of --ip-translation=false --verdict FORWARDED <<'TXT'
Jan  1 00:20:33.567: 1.1.1.1:31793 (health) -> 2.2.2.2:8080 (ID:12345) to-endpoint FORWARDED (TCP Flags: SYN)
TXT
check "dict" prints_of -o dict --print-node-name --last 2 <<'TXT'
  TIMESTAMP: Jan  1 00:20:33.567
       NODE: k8s1
     SOURCE: default/web:31793
DESTINATION: a.org,b.org:8080
       TYPE: to-endpoint
    VERDICT: FORWARDED
    SUMMARY: TCP Flags: SYN
------------
  TIMESTAMP: Jan  1 00:20:34.567
       NODE: k8s1
     SOURCE: [fd00::1]:1
DESTINATION: [fd00::2]:53
       TYPE: policy-verdict:none INGRESS
    VERDICT: AUDITED
    SUMMARY: UDP
TXT
check "table" prints_of -o table --first 1 <<'TXT'
TIMESTAMP             SOURCE          DESTINATION    TYPE            VERDICT   SUMMARY
Jan  1 00:20:30.567   1.1.1.1:31793   2.2.2.2:8080   Policy denied   DROPPED   TCP Flags: SYN
TXT
check "table, with node" prints_of -o tab --print-node-name --first 1 <<'TXT'
TIMESTAMP             NODE   SOURCE          DESTINATION    TYPE            VERDICT   SUMMARY
Jan  1 00:20:30.567   k8s1   1.1.1.1:31793   2.2.2.2:8080   Policy denied   DROPPED   TCP Flags: SYN
TXT
c=$'\033[36m' p=$'\033[33m' i=$'\033[35m' r=$'\033[31m' z=$'\033[0m'
check "colours" prints_of --color always --first 1 <<TXT
Jan  1 00:20:30.567: ${c}1.1.1.1:${p}31793$z$z $i(health)$z -> ${c}2.2.2.2:${p}8080$z$z $i(ID:12345)$z Policy denied ${r}DROPPED$z (TCP Flags: SYN)
TXT

# json FORM: every line is read back as the same flow.
json_again() {
	clite observe --input-file "$tmp/flows.json" -o "$1" >"$tmp/again.json" &&
		clite observe --input-file "$tmp/flows.json" >"$tmp/one" &&
		clite observe --input-file - <"$tmp/again.json" >"$tmp/two" &&
		[[ $(wc -l <"$tmp/again.json") -eq 5 ]] && diff -u "$tmp/one" "$tmp/two"
}
check "json" json_again json
check "jsonpb" json_again jsonpb

# times FORMAT TEXT
times() {
	prints_of --first 1 --time-format "$1" --print-node-name <<<"$2 [k8s1]: 1.1.1.1:31793 (health) -> 2.2.2.2:8080 (ID:12345) Policy denied DROPPED (TCP Flags: SYN)"
}
check "time: YearMonthDay" times YearMonthDay 1970-01-01
check "time: YearMonthDayHour" times YearMonthDayHour 1970-01-01T00Z
check "time: YearMonthDayHourMinute" times YearMonthDayHourMinute 1970-01-01T00:20Z
check "time: RFC3339" times rfc3339 1970-01-01T00:20:30Z
check "time: RFC3339Milli" times RFC3339Milli 1970-01-01T00:20:30.567Z
check "time: RFC3339Micro" times RFC3339Micro 1970-01-01T00:20:30.56789Z
check "time: RFC3339Nano" times RFC3339Nano 1970-01-01T00:20:30.567890123Z
check "time: RFC1123Z" times RFC1123Z "Thu, 01 Jan 1970 00:20:30 +0000"

# number N OPTION...: so many flows are printed
number() {
	local expected=$1

	shift
	[[ $(clite observe --input-file "$tmp/flows.json" "$@" | wc -l) -eq $expected ]]
}
check "--since" number 3 --since 1970-01-01T00:20:32Z
check "--since with a zone" number 3 --since 1970-01-01T09:20:32+09:00
check "--until" number 2 --until 1970-01-01T00:20:31.9Z
check "--until RFC1123Z" number 2 --until "Thu, 01 Jan 1970 00:20:32 +0000"
check "--since a while ago" number 0 --since 1h30m
check "--last, more than there are" number 5 --last 100
check "--all" number 5 --all
check "filters" number 2 --not --verdict DROPPED
check "filters by JSON" number 1 --allowlist '{"ip_version":["IPv6"]}'

# A line that is no flow is told, with its place; the rest is read, and the exit code says so.
bad_line() {
	local status=0

	{ head -1 "$tmp/flows.json"; echo '{"flow":{"time":5}}'; tail -1 "$tmp/flows.json"; } >"$tmp/bad.json"
	clite observe --input-file "$tmp/bad.json" >"$tmp/out" 2>"$tmp/err" || status=$?
	[[ $status -eq 1 && $(wc -l <"$tmp/out") -eq 2 ]] && grep -qF "bad.json:2:" "$tmp/err"
}
check "a bad line" bad_line
check "no such file" grep -q "No such file" <(clite observe --input-file "$tmp/none" 2>&1)
gone_reader() {
	for _ in {1..2000}; do cat "$tmp/flows.json"; done >"$tmp/long.json"
	clite observe --input-file "$tmp/long.json" | head -1 >/dev/null
	[[ ${PIPESTATUS[0]} -eq 0 ]]
}
check "a reader that goes away is no failure" gone_reader

# ---- servers -------------------------------------------------------------------------

# Debian's modules belong to Debian's Python, which need not be the first one here.
for python in python3 /usr/bin/python3 none; do
	"$python" -c 'import grpc, google.protobuf' 2>/dev/null && break
done
if [[ ! -e $BUILD/src/hubble/libcilium-lite-hubble.so ]]; then
	without() {
		local status=0

		clite observe --server x >"$tmp/out" 2>&1 || status=$?
		[[ $status -eq 1 ]] && grep -q "built without libcilium-lite-hubble" "$tmp/out"
	}
	check "a build without the library says so" without
	done_testing
fi
if [[ $python == none ]] || ! command -v protoc >/dev/null; then
	echo "skip: servers need gRPC and Protocol Buffers for Python, and protoc"
	done_testing
fi

mkdir "$tmp/protos" &&
	protoc -I "$root/src/hubble/proto" --python_out="$tmp/protos" flow.proto health.proto \
		observer.proto peer.proto relay.proto || exit 1
servers=()
cleanup() {
	kill "${servers[@]}" 2>/dev/null
	wait
}

# A server of this mode, which clite then asks: server MODE [TLS FILE...]
server() {
	local mode=$1 deadline=$((SECONDS + 30))

	address=$tmp/$mode.sock
	[[ $# -eq 1 ]] || address=localhost:0
	: >"$tmp/$mode.out"
	shift
	GRPC_VERBOSITY=NONE "$python" "$root/tests/tools/hubble_server.py" "$tmp/protos" "$address" \
		"${mode%-*}" "$@" >"$tmp/$mode.out" 2>"$tmp/$mode.err" </dev/null &
	servers+=($!)
	until [[ -s $tmp/$mode.out ]]; do
		[[ $SECONDS -lt $deadline ]] || { cat "$tmp/$mode.err"; exit 1; }
		sleep 0.05
	done
	[[ $# -eq 0 ]] || address=localhost:$(head -1 "$tmp/$mode.out")
	export CLITE_HUBBLE_SERVER=$address
}

# What a command prints is standard input: gives COMMAND...
gives() {
	cat >"$tmp/expected"
	clite "$@" >"$tmp/actual" 2>"$tmp/err"
	diff -u "$tmp/expected" "$tmp/actual" || { cat "$tmp/err"; return 1; }
}

# It fails with this, in time: fails TEXT COMMAND...
fails() {
	local text=$1 status=0

	shift
	timeout 30 "$BUILD/tools/clite/clite" "$@" >"$tmp/out" 2>"$tmp/err" || status=$?
	[[ $status -eq 1 || $status -eq 3 ]] && grep -qF -e "$text" "$tmp/err" && return
	echo "status $status, expected: $text"
	cat "$tmp/err"
	return 1
}

server good
check "flows of a server" gives observe --first 3 <<'TXT'
Jan  1 00:20:34.567: 1.1.1.1:31793 (health) -> 2.2.2.2:8080 (ID:12345) Policy denied DROPPED (TCP Flags: SYN)
Jan  1 00:20:35.567: [fd00::1]:31793 (health) -> [fd00::2]:8080 (ID:12345) Policy denied DROPPED (TCP Flags: SYN)
Jan  1 00:20:36.567: 2.2.2.2:8080 (ID:12345) <- 1.1.1.1:31793 (health) Policy denied DROPPED (TCP Flags: SYN)
TXT
check "the last of them, and what is lost" gives observe --last 1 --print-policy-names <<'TXT'
Jan  1 00:20:37.567: [fd00::1]:31793 (health) -> default/web?[31m:8080 (ID:12345) policy-verdict:L3-Only INGRESS ALLOWED BY web (CiliumNetworkPolicy) (TCP Flags: SYN)
EVENTS LOST: HUBBLE_RING_BUFFER CPU(1) 7
TXT
check "nodes that are not there are told" grep -q "2 nodes are unavailable: k8s2, k8s3" "$tmp/err"
check "-s: nothing of that" gives observe --last 1 -s --numeric <<'TXT'
Jan  1 00:20:37.567: [fd00::1]:31793 (health) -> [fd00::2]:8080 (ID:12345) policy-verdict:L3-Only INGRESS ALLOWED (TCP Flags: SYN)
TXT
check "-s: and no message" test ! -s "$tmp/err"
check "JSON has all of it, also what clite has no column for" gives observe --last 1 -s -o json <<'TXT'
{"flow":{"time":"1970-01-01T00:20:37.567800Z","verdict":"FORWARDED","IP":{"source":"fd00::1","destination":"fd00::2","ipVersion":"IPv6"},"l4":{"TCP":{"source_port":31793,"destination_port":8080}},"source":{"identity":4},"destination":{"identity":12345,"namespace":"default","pod_name":"web\u001b[31m"},"Type":"L3_L4","node_name":"k8s1","l7":{"type":"REQUEST","http":{"method":"GET","headers":[{"key":"a","value":"b"}]}},"event_type":{"type":5},"traffic_direction":"INGRESS","policy_match_type":1,"drop_reason_desc":"POLICY_DENIED","is_reply":false,"ingress_allowed_by":[{"name":"web","kind":"CiliumNetworkPolicy"}],"Summary":"TCP Flags: SYN"},"node_name":"k8s1","time":"1970-01-01T00:20:37.567800Z"}
TXT

# The server gets this request: asked JSON OPTION...
asked() {
	local expected=$1

	shift
	clite observe "$@" >/dev/null 2>&1
	tail -1 "$tmp/good.out" >"$tmp/request"
	"$python" - "$expected" "$tmp/request" <<'PY'
import json, sys
actual, mask = open(sys.argv[2]).read().rsplit(" mask ", 1)
expected = json.loads(sys.argv[1])
if json.loads(actual) != expected:
    sys.exit(f"expected {expected}\nactual   {actual}")
PY
}
check "asked: the last 20" asked '{"number": "20"}'
check "asked: all" asked '{"number": "18446744073709551615"}' --all
check "asked: first" asked '{"number": "3", "first": true}' --first 3
check "asked: since, until" asked \
	'{"since": "1970-01-01T00:00:01Z", "until": "1970-01-01T00:00:02.500Z"}' \
	--since 1970-01-01T00:00:01Z --until 1970-01-01T00:00:02.5Z
check "asked: filters" asked '{"number": "20",
	"whitelist": [{"source_pod": ["a/"], "verdict": ["DROPPED"], "tcp_flags": [{"SYN": true}],
	  "http_header": [{"key": "a", "value": "b"}], "ip_version": ["IPv6"],
	  "traffic_direction": ["EGRESS"], "drop_reason_desc": ["POLICY_DENIED"],
	  "interface": [{"name": "eth0"}], "source_identity": [2], "encrypted": [false],
	  "destination_workload": [{"name": "web", "kind": "Deployment"}],
	  "event_type": [{"type": 4, "match_sub_type": true}]}, {"uuid": ["x"]}],
	"blacklist": [{"reply": [false, true], "source_cluster_name": ["c"],
	  "interface": [{"index": 3}]}]}' \
	--from-pod a/ --verdict DROPPED --tcp-flags syn --http-header a:b -6 \
	--traffic-direction egress --drop-reason-desc POLICY_DENIED --interface eth0 \
	--from-identity world --unencrypted --to-workload Deployment/web -t trace:to-endpoint \
	--allowlist '{"uuid":["x"]}' \
	--denylist '{"reply":[false,true],"sourceClusterName":["c"],"interface":[{"index":3}]}'
check "a form with columns asks for those only" grep -q 'mask 2[0-9]$' "$tmp/good.out"
check "asked: JSON, for everything" asked '{"number": "20"}' -o json
check "without a mask" grep -q 'mask 0$' "$tmp/request"
check "asked: a mask" asked '{"number": "20"}' -o json --field-mask time,source.pod_name
check "with a mask" grep -q 'mask 2$' "$tmp/request"
check "a mask is for JSON" wrong "--field-mask is for JSON of a server" --field-mask time

check "status" gives hubble status <<TXT
Healthcheck (via $address): Ok
Current/Max Flows: 1,234/4,095 (30.13%)
Flows/s: 500.00
Connected Nodes: 2/3
Unavailable Nodes: 1
  - k8s3
TXT
check "status: dict" gives hubble status -o dict <<'TXT'
          NUM FLOWS: 1,234
          MAX FLOWS: 4,095
         SEEN FLOWS: 50,000
   FLOWS PER SECOND: N/A
             UPTIME: 1m40s
NUM CONNECTED NODES: 2
 NUM UNAVAIL. NODES: 1
            VERSION: test-1
TXT
check "status: JSON" gives hubble status -o json <<'TXT'
{"num_flows":"1234","max_flows":"4095","seen_flows":"50000","uptime_ns":"100000000000","num_connected_nodes":2,"num_unavailable_nodes":1,"unavailable_nodes":["k8s3"],"version":"test-1"}
TXT
check "nodes" gives hubble list nodes <<'TXT'
NAME   STATUS        AGE      FLOWS/S   CURRENT/MAX-FLOWS
bar    Unavailable   N/A      N/A       N/A
baz    Gone          N/A      N/A       N/A
foo    Connected     16m40s   0.00      500/1000 ( 50.00%)
TXT
check "nodes: wide" gives hubble list node -o wide <<'TXT'
NAME   STATUS        AGE      FLOWS/S   CURRENT/MAX-FLOWS    VERSION   ADDRESS   TLS
bar    Unavailable   N/A      N/A       N/A                  2         5.6.7.8   N/A
baz    Gone          N/A      N/A       N/A                  3                   N/A
foo    Connected     16m40s   0.00      500/1000 ( 50.00%)   1         1.2.3.4   Enabled
TXT
check "namespaces" gives hubble list namespaces -o wide <<'TXT'
NAMESPACE     CLUSTER
default       east
kube-system
TXT
check "namespaces: JSON" gives hubble list namespaces -o json <<'TXT'
[
  {
    "cluster": "east",
    "namespace": "default"
  },
  {
    "namespace": "kube-system"
  }
]
TXT
check "agent events" gives observe agent-events <<'TXT'
Jan  1 00:20:34.567: AGENT_STARTED (start time: Jan  1 00:20:34.567)
Jan  1 00:20:34.567: ENDPOINT_CREATED (id: 3, namespace: default, pod name: web)
Jan  1 00:20:34.567: IPCACHE_UPSERTED (cidr: 10.0.0.0/8, identity: 5, old identity: 4, host ip: 1.2.3.4, encrypt key: 0)
Jan  1 00:20:34.567: SERVICE_UPSERTED (id: 7, frontend: [fd00::1]:80, backends: [10.0.0.1:8080,10.0.0.2:8080], type: ClusterIP, namespace: default, name: web)
Jan  1 00:20:34.567: POLICY_UPDATED (labels: [a=b,c], revision: 9, count: 2)
TXT
check "debug events" gives observe debug-events <<'TXT'
Jan  1 00:20:34.567: default/web (ID: 3) DBG_CT_LOOKUP MARK: 0xff CPU: 01 (looked up)
TXT

# Follow, and watch, until a signal: then the exit code is 0 and all is there.
until_signal() {
	local expected=$1 signal=$2 deadline=$((SECONDS + 30)) status=0 pid

	shift 2
	: >"$tmp/followed"
	env --default-signal=INT "$BUILD/tools/clite/clite" "$@" >"$tmp/followed" 2>"$tmp/err" </dev/null &
	pid=$!
	until [[ $(wc -l <"$tmp/followed") -ge $expected ]]; do
		[[ $SECONDS -lt $deadline ]] || { kill "$pid"; cat "$tmp/err"; return 1; }
		sleep 0.05
	done
	kill "-$signal" "$pid"
	wait "$pid" || status=$?
	[[ $status -eq 0 && $(wc -l <"$tmp/followed") -eq $expected ]]
}
check "follow until Ctrl-C" until_signal 5 INT observe -f --last 4
check "watch peers until SIGTERM" until_signal 2 TERM hubble watch peers
check "peers" grep -qx 'PEER_ADDED   1.2.3.5:4244 k8s2 (TLS.ServerName: k8s2.hubble)' "$tmp/followed"
goes_away() {
	clite observe -f --last 4 2>/dev/null | head -1 >"$tmp/out"
	[[ ${PIPESTATUS[0]} -eq 0 ]]
}
check "follow ends when nobody reads" goes_away

server ends
check "a server that ends a watch" gives hubble watch peers <<'TXT'
PEER_ADDED   1.2.3.4:4244 k8s1
PEER_ADDED   1.2.3.5:4244 k8s2 (TLS.ServerName: k8s2.hubble)
TXT
server future
check "an answer of a later version is skipped" gives observe --last 1 -s <<'TXT'
Jan  1 00:20:37.567: [fd00::1]:31793 (health) -> default/web?[31m:8080 (ID:12345) policy-verdict:L3-Only INGRESS ALLOWED (TCP Flags: SYN)
TXT
server many
check "more than a window holds" test "$(clite observe --all | wc -l)" -eq 30000
server large
check "a message of 3 MiB" test "$(clite observe | wc -c)" -gt 3145728
server error
check "an error of the server" fails \
	"GetFlows: INVALID_ARGUMENT: bad ?[31m filter: ü" observe
server huge
check "a message that is too large" fails "a message of the server is too large" observe
server bomb
check "a message that is large in memory" fails "cannot be read, or is too large" observe
server slow
check "no answer in time" fails "ServerStatus: no answer in time" hubble status --request-timeout 1s
server denied
check "who are you" fails "UNAUTHENTICATED: who are you?" hubble status
server ill
check "not healthy" fails "the server is not healthy: NOT_SERVING" hubble status
server nopeers
check "a call that the server has not" fails "UNIMPLEMENTED" hubble watch peers
server garbage
check "no HTTP/2" fails "does it want TLS?" hubble list nodes
server silent
check "a server that goes at once" fails "closed the connection" hubble list nodes
server http404
check "no gRPC" fails "HTTP status 404: is it one of Hubble's API?" hubble list nodes
server half
check "half a message" fails "without a status" hubble list nodes
server goaway
check "go away" fails "REFUSED_STREAM" hubble list nodes
server length
check "a length that cannot be" fails "a message of the server is too large" hubble list nodes
server nonsense
check "bytes that are no message" fails "cannot be read" hubble list nodes
server pings
check "questions without end" fails "HTTP/2" hubble list nodes
server compressed
check "compressed" fails "compressed" hubble list nodes
server mute
check "a server that says nothing" fails "does not answer" observe -f --timeout 1s
unset CLITE_HUBBLE_SERVER
check "nobody listens" fails "No such file or directory" observe --server "unix://$tmp/none"
check "refused" fails "Connection refused" observe --server localhost:1
check "an address that is none" fails "an address is unix:///PATH" observe --server '[::1'
check "no server for hubble" grep -q "which server?" <(clite hubble status 2>&1)

# ---- TLS -------------------------------------------------------------------------------

certificate() {
	openssl req -newkey rsa:2048 -nodes -keyout "$tmp/$1.key" -out "$tmp/$1.csr" -subj "/CN=$1" &&
		openssl x509 -req -in "$tmp/$1.csr" -CA "$tmp/ca.pem" -CAkey "$tmp/ca.key" \
			-CAcreateserial -out "$tmp/$1.pem" -days 2 \
			-extfile <(echo "subjectAltName=DNS:$1.hubble,DNS:localhost")
} 2>/dev/null

openssl req -x509 -newkey rsa:2048 -nodes -keyout "$tmp/ca.key" -out "$tmp/ca.pem" -subj /CN=ca \
	-days 2 2>/dev/null && certificate server && certificate client || exit 1
ca=(--tls-ca-cert-files "$tmp/ca.pem")
own=(--tls-client-cert-file "$tmp/client.pem" --tls-client-key-file "$tmp/client.key")

server good-tls "$tmp/server.pem" "$tmp/server.key"
works() {
	clite hubble status "$@" | grep -q "Flows/s: 500.00"
}
check "TLS" works --tls "${ca[@]}"
more_than_buffers() {
	[[ $(clite observe --all "${ca[@]}" | wc -l) -eq 30000 ]]
}
check "TLS by the address" works --server "tls://$address" "${ca[@]}"
check "TLS with a name" works "${ca[@]}" --tls-server-name server.hubble
check "TLS with another name" fails "hostname mismatch" hubble status "${ca[@]}" \
	--tls-server-name other.hubble
check "TLS: an address that is not in the certificate" fails "IP address mismatch" hubble status \
	--server "127.0.0.1:${address#*:}" "${ca[@]}"
check "TLS: nobody vouches for it" fails "its certificate: unable to get local issuer" \
	hubble status --tls
check "TLS: unless nobody cares" works --tls-allow-insecure
check "without TLS" fails "does it want TLS?" hubble status
check "TLS: no such file" fails "ca.none': No such file" hubble status \
	--tls-ca-cert-files "$tmp/ca.none"
check "TLS: a certificate without its key" fails "the key is missing" hubble status \
	--tls-client-cert-file "$tmp/client.pem"
check "TLS: another key" fails "key values mismatch" hubble status \
	--tls-client-cert-file "$tmp/client.pem" --tls-client-key-file "$tmp/server.key"
server many-tls "$tmp/server.pem" "$tmp/server.key"
check "TLS: more than buffers hold" more_than_buffers
server good-mtls "$tmp/server.pem" "$tmp/server.key" "$tmp/ca.pem"
check "mTLS" works "${ca[@]}" "${own[@]}"
check "mTLS without a certificate" fails "client's certificate" hubble status "${ca[@]}"

done_testing

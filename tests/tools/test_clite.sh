#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# The command line tool: each command, its JSON, exit codes, messages, help, manual.
# shellcheck disable=SC2317 # functions are called by name
# shellcheck source=tests/integration/lib.sh
. "$(dirname "$0")/../integration/lib.sh"

manual=$root/docs/man/clite.1

# A command ends with this status: status N COMMAND...
status() {
	local expected=$1 actual=0

	shift
	"$@" >"$tmp/out" 2>"$tmp/err" </dev/null || actual=$?
	[[ $actual -eq $expected ]] && return
	printf 'status %s, expected %s, of: %s\n' "$actual" "$expected" "$*"
	cat "$tmp/out" "$tmp/err"
	return 1
}

# ... and says on standard error, and only there: says N TEXT COMMAND...
says() {
	local expected=$1 text=$2

	shift 2
	status "$expected" "$@" || return
	[[ ! -s $tmp/out ]] && grep -qF -e "$text" "$tmp/err" && return
	printf 'expected: %s\non standard output: %s\non standard error: %s\n' "$text" \
		"$(cat "$tmp/out")" "$(cat "$tmp/err")"
	return 1
}

# The JSON that a command prints has this value: json PYTHON VALUE COMMAND...
json() {
	local expression=$1 expected=$2

	shift 2
	clite -o json "$@" >"$tmp/json" && prints "$expected" python3 -c "import json, sys
d = json.load(open(sys.argv[1]))
print($expression)" "$tmp/json"
}

# What a command prints has a line like this: shows REGEXP COMMAND...
shows() {
	local expected=$1

	shift
	clite "$@" >"$tmp/out" && grep -qE -e "$expected" "$tmp/out" && return
	echo "no line like $expected in:"
	cat "$tmp/out"
	return 1
}

# The heading of a table, its blanks squeezed: heading TEXT COMMAND...
heading() {
	local expected=$1

	shift
	clite "$@" >"$tmp/out" && prints "$expected" sed -E '1!d; s/ +/ /g; s/ $//' "$tmp/out"
}

# Words of a list of commands: words PATH...
words() {
	clite "$@" --help | awk '/^Commands/ { on = 1; next } /^$/ { on = 0 } on { print $1 }'
}

# Every command that does something, one a line.
commands() {
	local a b c

	for a in $(words); do
		[[ -n $(words "$a") ]] || echo "$a"
		for b in $(words "$a"); do
			[[ -n $(words "$a" "$b") ]] || echo "$a $b"
			for c in $(words "$a" "$b"); do
				echo "$a $b $c"
			done
		done
	done
}

# ---- without an instance --------------------------------------------------------------

help_of_every_command() {
	local command

	while read -r command; do
		# shellcheck disable=SC2086 # words
		clite $command --help >"$tmp/help" || return
		if ! grep -q '^Usage:' "$tmp/help" || ! grep -q "^  clite $command" "$tmp/help"; then
			echo "$command:"
			cat "$tmp/help"
			return 1
		fi
		[[ $command == help || $command == version ]] || grep -q '^Example:' "$tmp/help" ||
			{ echo "$command: no example"; return 1; }
	done < <(commands)
}

# The manual has a heading for each command, and each of its options by name.
manual_has_everything() {
	local command option missing=0

	MANWIDTH=500 man -l "$manual" 2>/dev/null | col -bx | tr -s ' ' >"$tmp/manual"
	while read -r command; do
		grep -qE "^ (clite )?$command( |$)" "$tmp/manual" ||
			{ echo "command: $command"; missing=1; }
		# shellcheck disable=SC2086 # words
		for option in $(clite $command --help | grep -oE '^ +(-[a-z], )?--[a-z-]+' | grep -oE -- '--.*'); do
			grep -qF -e "$option" "$tmp/manual" ||
				{ echo "$command $option"; missing=1; }
		done
	done < <(commands | grep -v '^help$')
	return "$missing"
}

manual_renders() {
	prints "" groff -man -ww -z "$manual"
}

# What completion offers for the last of some words: complete_words EXPECTED WORD...
complete_words() {
	local expected=$1

	shift
	# shellcheck source=tools/clite/clite.bash
	. "$root/tools/clite/clite.bash"
	COMP_WORDS=("$@")
	COMP_CWORD=$(($# - 1))
	COMPREPLY=()
	"$(complete -p clite | sed -E 's/.*-F ([^ ]+).*/\1/')" clite "${!#}" "${*: -2:1}"
	prints "$expected" echo "${COMPREPLY[*]%% *}"
}

check "version" shows '^clite [0-9.]+, libcilium-lite [0-9.]+$' version
check "version, JSON" json '"client" in str(d).lower() or "clite" in str(d)' True version
check "every command has help with an example" help_of_every_command
check "help COMMAND is COMMAND --help" cmp <(clite help policy import) <(clite policy import --help)
if command -v man >/dev/null && command -v groff >/dev/null && command -v col >/dev/null; then
	check "the manual has every command and option" manual_has_everything
	check "the manual renders without warnings" manual_renders
else
	echo "skip: no man, groff and col: the manual is not compared with the help"
fi
check "completion of a command" complete_words monitor clite mon
check "completion of a word of it" complete_words get clite endpoint g
check "completion of a setting" complete_words PolicyAuditMode= clite config PolicyA
check "completion of its value" complete_words Enabled clite config PolicyAuditMode = E
check "completion of all its values" complete_words "default always never" clite instance create --config \
	PolicyEnforcement =
check "completion of an output of its own" complete_words dict clite observe -o di
check "completion of an option" complete_words --from-fqdn clite observe --from-f
check "completion of an option that has a letter" complete_words "--ipv4 --ipv6" clite observe --ipv
check "completion of a filter's value" complete_words DROPPED clite observe --verdict D

# As nobody, who may not even look where the build is.
mkdir "$tmp/public"
cp "$BUILD/tools/clite/clite" "$BUILD/src/libcilium-lite.so.0" "$tmp/public"
[[ ! -e $BUILD/src/hubble ]] || cp "$BUILD/src/hubble/libcilium-lite-hubble.so.0" "$tmp/public"
allow web blue red >"$tmp/public/web.yaml"
chmod -R a+rX "$tmp"
as_nobody() {
	LD_LIBRARY_PATH=$tmp/public setpriv --reuid 65534 --regid 65534 --clear-groups \
		"$tmp/public/clite" "$@"
}

check "no command" says 2 "a command is missing" clite
check "unknown command" says 2 "unknown command 'frobnicate'" clite frobnicate
check "half a command" says 2 "a command is missing after 'bpf ct'" clite bpf ct
check "unknown option" says 2 "--frob" clite status --frob
check "option without its value" says 2 "--instance" clite status --instance
check "senseless output format" says 2 "yaml" clite status -o yaml
check "too many arguments" says 2 "extra" clite status extra

mountpoint -q /sys/fs/bpf && umount /sys/fs/bpf
check "no bpf file system" says 1 "mount -t bpf bpf /sys/fs/bpf" clite status
mount -t bpf bpf /sys/fs/bpf
check "no instance" says 3 "make it with 'clite instance create default'" clite status
check "not root" says 1 "missing CAP_NET_ADMIN, CAP_BPF, CAP_PERFMON" \
	as_nobody instance create default
check "features" heading "FEATURE PRESENT REQUIRED REASON" status --features
check "features, JSON" json 'all(f["present"] for f in d if f["required"])' True status --features
check "validate needs no root" status 0 as_nobody policy validate "$tmp/public/web.yaml"
cp "$tmp/public/web.yaml" "$tmp/web.yaml"

# ---- with one ---------------------------------------------------------------------------

make_host
workload red 1
workload blue 2
serve blue

check "instance create" prints "instance 'default' created" clite instance create default
check "instance create again" says 1 "there is an instance 'default' already" \
	clite instance create default
check "instance with a bad name" says 1 "a.b" clite instance create a.b
check "instance list" prints "NAME
default" clite instance list
check "instance list, JSON" json 'd[0]["name"]' default instance list

check "cgroup attach: no cgroup" says 1 "'/proc' is no cgroup of version 2" clite cgroup attach /proc
check "cgroup detach: none" says 3 "cgroup '/nothing' is not attached" clite cgroup detach /nothing
check "cgroup list" heading "PATH ID" cgroup list
check "cgroup list, JSON" prints "[]" clite -o json cgroup list

check "endpoint add" prints "endpoint 1 added, identity 256" clite endpoint add red \
	--ipv4 10.77.0.1 --ipv6 fd77::1 --name shop/red -l k8s:app=red
check "endpoint add, JSON" json 'str(d).count("blue") > 0' True endpoint add blue \
	--ipv4 10.77.0.2 --ipv6 fd77::2 -l app=blue
check "endpoint add twice" says 1 "device 'red' is endpoint 1's" clite endpoint add red --ipv4 10.9.9.9
check "endpoint add: no device" says 1 "there is no device 'nothing'" clite endpoint add nothing --ipv4 10.9.9.9
check "endpoint add: bad address" says 1 "'10.9.9.999' is no IPv4 address" clite endpoint add lo --ipv4 10.9.9.999
check "endpoint list" heading \
	"ENDPOINT POLICY (ingress) POLICY (egress) IDENTITY LABELS (source:key[=value]) IPv6 IPv4 STATUS" \
	endpoint list
check "endpoint list, JSON" json '[e["id"] for e in d]' "[1, 2]" endpoint list
for what in 1 shop/red 10.77.0.1 fd77::1 red; do
	check "endpoint get $what" shows "k8s:app=red" endpoint get "$what"
done
check "endpoint get: none" says 3 "99" clite endpoint get 99
check "identity list" heading "ID LABELS" identity list
check "identity get" shows k8s:app=red identity get 256
check "identity get, JSON" json '"k8s:app=red" in str(d)' True identity get 256
check "identity get: none" says 3 "4711" clite identity get 4711
check "identity of labels" json 'd[0]["id"]' 256 identity list app=red

check "instance create: settings" status 0 clite instance create strict \
	--config PolicyEnforcement=always --config allowlocalhost=always
check "instance create: they are there" json 'd["PolicyEnforcement"], d["AllowLocalhost"]' \
	"always always" -i strict config
check "instance create: if it is there, it stays" status 0 clite instance create strict --if-absent \
	--config PolicyEnforcement=never
check "instance create: it stayed" shows '^PolicyEnforcement +: always$' -i strict config
check "instance create: no such setting" says 2 "'Colour' is no setting" \
	clite instance create other --config Colour=red
check "instance create: then nothing is made" json 'sorted(e["name"] for e in d)' \
	"['default', 'strict']" instance list
check "instance create: away again" status 0 clite instance delete strict

check "config" prints "PolicyEnforcement  : default
PolicyAuditMode    : Disabled
AllowLocalhost     : policy" clite config
check "config: change" json 'd["PolicyEnforcement"], d["AllowLocalhost"]' "never always" \
	config PolicyEnforcement=never allowlocalhost=ALWAYS
check "config: it stays" shows '^PolicyEnforcement +: never$' config
check "config: no such setting" says 2 "'Colour' is no setting" clite config Colour=red
check "config: no such value" says 2 "PolicyEnforcement: 'maybe' is none of default, always, never" \
	clite config PolicyAuditMode=Enabled PolicyEnforcement=maybe
check "config: nothing half changed" shows '^PolicyAuditMode +: Disabled$' config
check "config: back" status 0 clite config PolicyEnforcement=default AllowLocalhost=policy
check "endpoint config" prints "PolicyAuditMode    : Enabled" clite endpoint config red PolicyAuditMode=Enabled
check "endpoint config: it stays" json 'd["PolicyAuditMode"]' Enabled endpoint config 1
check "endpoint config: back" status 0 clite endpoint config red PolicyAuditMode=disabled

sed 's/fromEndpoints/fromNowhere/' "$tmp/web.yaml" >"$tmp/bad.yaml"
check "policy import" status 0 clite policy import "$tmp/web.yaml"
check "policy import: broken, names file and line" says 1 "bad.yaml:11" clite policy import "$tmp/bad.yaml"
check "policy import: no such file" says 3 "none.yaml: No such file" clite policy import "$tmp/none.yaml"
check "policy validate" status 0 clite policy validate "$tmp/web.yaml"
check "policy validate: broken" says 1 "fromNowhere" clite policy validate "$tmp/bad.yaml"
check "policy get" shows fromEndpoints policy get web
check "policy get, JSON" json '"web" in str(d)' True policy get web
check "policy get: none" says 3 "nobody" clite policy get nobody

cat >"$tmp/odd.yaml" <<'EOF'
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: odd}
spec:
  endpointSelector: {matchLabels: {app: nobody}}
  egress:
  - toCIDR: [10.0.0.0/8, 10.77.0.0/16]
  - toServices: [{k8sService: {serviceName: none, namespace: shop}}]
    toPorts: [{ports: [{port: nameless}]}]
EOF
odd() {
	status 0 clite policy import "$tmp/odd.yaml" && prints "odd.yaml: warning: policy 'odd': no endpoint that is here now is selected
odd.yaml:7: warning: policy 'odd': 10.0.0.0/8 holds addresses of 2 endpoints: prefixes never select endpoints, write a selector of labels for them
odd.yaml:7: warning: policy 'odd': 10.77.0.0/16 is inside of 10.0.0.0/8 in the same list: it adds nothing
odd.yaml:7: warning: policy 'odd': 10.77.0.0/16 holds addresses of 2 endpoints: prefixes never select endpoints, write a selector of labels for them
odd.yaml:8: warning: policy 'odd': there is no service 'shop/none' here
odd.yaml:8: warning: policy 'odd': no endpoint has a port named 'nameless'" sed "s|^$tmp/||" "$tmp/err"
}
check "policy import: warnings" odd
check "policy import: warnings, JSON" json '[w["code"] for w in d["warnings"]][:2]' \
	"['selects-nobody', 'cidr-endpoints']" policy import "$tmp/odd.yaml"
check "policy delete" status 0 clite policy delete odd
sed 's/app: nobody/app: red/; s/toServices.*/toFQDNs: [{matchName: x.org}]/' "$tmp/odd.yaml" >"$tmp/fqdn.yaml"
needs() {
	status 1 clite policy import "$tmp/fqdn.yaml" &&
		grep -q "fqdn.yaml:8: policy 'odd' needs a proxy for DNS that learns the addresses of names, which is not present" "$tmp/err" &&
		status 3 clite policy get odd
}
check "policy import: what is not present" needs

cat >"$tmp/web.services" <<'YAML'
apiVersion: v1
kind: Service
metadata: {name: imported}
spec:
  type: NodePort
  clusterIP: 10.96.0.7
  sessionAffinity: ClientIP
  sessionAffinityConfig: {clientIP: {timeoutSeconds: 60}}
  ports: [{port: 80, nodePort: 30080}]
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: imported-1, labels: {kubernetes.io/service-name: imported}}
addressType: IPv4
ports: [{port: 8080}]
endpoints: [{addresses: [10.77.0.2]}]
YAML
echo 'kind: Service' >"$tmp/bad.services"
masqueraded='IPv4     : Enabled
IPv6     : Disabled
Excluded : 10.0.0.0/8'
check "service update" prints "service 1 updated, 1 backend" clite service update \
	--frontend 10.96.0.1:80/TCP --backends 10.77.0.2:80
check "service update: bad address" says 2 "10.96.0.1" clite service update --frontend 10.96.0.1 --backends 10.77.0.2:80
check "service list" heading "ID Frontend Service Type Backend" service list
check "service list, JSON" json 'len(d)' 1 service list
check "service get" shows 10.77.0.2:80 service get 1
check "service get: none" says 3 "7" clite service get 7
check "service import" prints "2 services imported" clite service import "$tmp/web.services" --node-address 192.0.2.9
check "service import: what it said" json '[(s["spec"]["frontend-address"]["ip"], s["spec"]["flags"]["sessionAffinityTimeoutSec"], len(s["spec"]["backend-addresses"])) for s in d if s["spec"]["flags"]["name"] == "imported"]' "[('10.96.0.7', 60, 1), ('192.0.2.9', 60, 1)]" service list
check "service import: gone" prints "0 services imported" clite service import - --source "$tmp/web.services" </dev/null
check "service import: bad file" says 1 "bad.services:1: needs" clite service import "$tmp/bad.services"
check "service import: no file" says 3 "none: No such file" clite service import "$tmp/none"
check "service import: one source for two files" says 2 "--source" clite service import a b --source c
check "service update: sources" prints "service 2 updated, 0 backends" clite service update --frontend 10.96.0.8:80/sctp --backends '' --sources 10.0.0.0/8,fd00::/16 --sources-deny --affinity 5 --external-local
check "service get: what was said" shows "external Local, internal Cluster" service get 2
check "service get: denied sources" shows "Denied sources:" service get 2
check "service update: bad source" says 1 "source '10.0.0.1/8'" clite service update --frontend 10.96.0.8:81 --backends '' --sources 10.0.0.1/8
check "service delete, sctp" prints "service 2 deleted" clite service delete 10.96.0.8:80/sctp
check "masquerade" prints "$masqueraded" clite masquerade --ipv4 on --exclude 10.0.0.0/8
check "masquerade: the rest stays" json 'd["ipv4"], d["ipv6"], d["exclude"]' "True True ['10.0.0.0/8']" masquerade --ipv6 on
check "masquerade: neither on nor off" says 2 "'maybe' is neither on nor off" clite masquerade --ipv4 maybe
check "masquerade: bad prefix" says 1 "exclusion 'x'" clite masquerade --exclude x

# ---- flows ---------------------------------------------------------------------------------

# A background command of a script ignores SIGINT, unless told otherwise.
background text host env --default-signal=INT "$BUILD/tools/clite/clite" monitor -v
monitor=$pid
background lines host "$BUILD/tools/clite/clite" monitor -o json --type trace --type policy-verdict
lines=$pid
subscribers() {
	json 'd["subscribers"]' "$1" status
}
wait_for subscribers 2 || die "the monitors do not subscribe"
check "traffic" get red 10.96.0.1
check "monitor prints it" wait_for grep -qE 'shop/red:[0-9]+ \(ID:256\) -> blue:80 .*FORWARDED' "$tmp/text"
check "monitor -v names the rule's place" wait_for grep -qE 'rule=web ingress\[0\] .*web.yaml:[0-9]+' "$tmp/text"
check "monitor -o json" wait_for grep -q '"verdict":' "$tmp/lines"
kill -INT "$monitor" && wait "$monitor"
code=$?
check "monitor ends on Ctrl-C as by the signal or well" test "$code" -eq 0 -o "$code" -eq 130
stop "$lines"
check "monitor -o json: each line is JSON" python3 -c 'import json, sys
rows = [json.loads(line) for line in open(sys.argv[1]) if line.startswith("{")]
assert rows and all("flow" in r or "verdict" in r for r in rows), rows' "$tmp/lines"
check "policy get --hits" shows '^web +ingress\[0\] +allow +[1-9][0-9]* +[1-9][0-9]* +.*web.yaml:11$' policy get --hits
check "policy get --hits: none is unused" bash -c "! grep -q unused '$tmp/out'"
check "policy get --hits, JSON" json 'd[0]["unused"], d[0]["packets"] > 3' "False True" policy get web --hits
check "policy get --hits: no such policy" says 3 "there is no policy 'none'" clite policy get none --hits
check "policy trace" shows '^  allow ingress\[0\] of policy .web. .*web.yaml:11 \(cookie [1-9][0-9]*\)  <- decides$' \
	policy trace --src red --dst 10.96.0.1 --dport 80/tcp --live
check "policy trace: the service" grep -q '^Service: .*1 active back end$' "$tmp/out"
check "policy trace: live" grep -q '^Live: .*as worked out$' "$tmp/out"
check "policy trace: way" grep -q '^Way: .*to endpoint 2, device' "$tmp/out"
check "policy trace: denied" shows '^Verdict: +DENIED, Policy denied \(133\)$' \
	policy trace --src identity:2 --dst endpoint:blue --dport 81
check "policy trace, JSON" json 'd["verdict"], d["agree"], d["ingress"]["rules"][0]["line"]' "FORWARDED True 11" \
	policy trace --src fd77::1 --dst fd77::2 --dport 80 --live
check "policy trace: families" says 1 "source is IPv4, destination IPv6" clite policy trace --src 10.77.0.1 --dst fd77::2 --dport 80
check "policy trace: a frame" shows '^Source: +10.77.0.1:1234, identity 256, endpoint 1$' policy trace \
	--packet "$(printf '%s' 020000000001 020000000002 0800 45000028000000004006 0000 0a4d0001 0a4d0002 04d20050 00000000 00000000 50020000 00000000)"
frame=$(printf '%s' 020000000001 020000000002 0800 45000028000000004006 0000 0a4d0001 0a4d0002 04d20050 00000000 00000000 50020000 00000000)
python3 -c 'import sys; sys.stdout.buffer.write(bytes.fromhex(sys.argv[1]))' "$frame" >"$tmp/frame"
check "policy trace: a frame in a file" shows '^Verdict: +ALLOWED$' policy trace --packet "$tmp/frame"
check "policy trace: a spoofed frame" json 'd["reason"], d["live_reason"], d["agree"]' "132 132 True" \
	policy trace --packet "$frame" --src endpoint:blue --live
check "policy trace: a frame says all" says 2 "--packet says what --dst, --dport and --sport say" \
	clite policy trace --packet "$frame" --dport 80
check "policy trace: a frame says who" says 2 "--src may only name the endpoint" \
	clite policy trace --packet "$frame" --src ip:10.77.0.1
check "policy trace: ip:" shows '^Source: +10.77.0.1:any, identity 256, endpoint 1$|^Source: +10.77.0.1.*, identity 256, endpoint 1$' \
	policy trace --src ip:10.77.0.1 --dst ip:10.77.0.2 --dport 80
check "policy trace: ip: what is none" says 2 "'ip:red' is no address" clite policy trace --src ip:red --dst blue --dport 80
check "policy trace: match and cookie" json 'd["ingress"]["match"], d["ingress"]["rule"]["cookie"] > 0' "L3-Only True" \
	policy trace --src red --dst blue --dport 80
check "policy trace: two back ends" clite service update --id 9 --frontend 10.96.0.9:80 --backends 10.77.0.2:80,10.77.0.2:81
check "policy trace: any may be chosen" shows '^  10.77.0.2:80  <- traced$' policy trace --src red --dst 10.96.0.9 --dport 80
check "policy trace: the other one" shows '^  10.77.0.2:81  <- traced$' policy trace --src red --dst 10.96.0.9 --dport 80 --backend 1
check "policy trace: live one is chosen" json 'd["chosen"], d["agree"], len(d["backends"])' "True True 2" \
	policy trace --src red --dst 10.96.0.9 --dport 80 --live
check "policy trace: back ends go" clite service delete 9
check "policy trace: no such back end" says 1 "backend 3: service 1 has 1 active" clite policy trace --src red --dst 10.96.0.1 --dport 80 --backend 3
check "policy trace: no frame" says 2 "is neither a frame in hex" clite policy trace --packet xyz
check "policy trace: nobody" says 2 "--src and --dst are missing" clite policy trace --src red
check "policy trace: bad port" says 2 "'http' is not PORT[/PROTOCOL]" clite policy trace --src red --dst blue --dport http

# the same flows, saved: what another policy would do to them
sed 's/app: red/app: green/' "$tmp/web.yaml" >"$tmp/new.yaml"
grep '^{' "$tmp/lines" >"$tmp/saved"
check "policy rehearse: saved flows" shows '^would be DROPPED: .* shop/red:[0-9]+ .* -> blue:80 .*; then: no rule allows it' \
	policy rehearse "$tmp/new.yaml" --flows "$tmp/saved"
check "policy rehearse: says how many" grep -qE '^[0-9]+ flows?: [1-9][0-9]* would be dropped, 0 would be allowed$' "$tmp/out"
check "policy rehearse: a deletion changes nothing for who is allowed" \
	shows '^[0-9]+ flows?: 0 would be dropped, 0 would be allowed$' policy rehearse --delete web --flows "$tmp/saved"
check "policy rehearse: nothing has come into force" get red 10.96.0.1
check "policy rehearse: no flows" says 1 "web.yaml:1: byte 1: '-' where an object should be; expected a line of JSON as" clite policy rehearse "$tmp/new.yaml" --flows "$tmp/web.yaml"
{ cat "$tmp/saved"; echo '{"lost_events":{"num_events_lost":"3"}}'; echo '{"x":1}'; } | gzip >"$tmp/saved.gz"
check "policy rehearse: a compressed file" status 0 clite policy rehearse "$tmp/new.yaml" --flows "$tmp/saved.gz"
check "policy rehearse: flows of a compressed file" grep -qE '^would be DROPPED: .* shop/red:[0-9]+ .* -> blue:80 ' "$tmp/out"
check "policy rehearse: lines that are no flows are counted" \
	grep -qE 'saved.gz: 2 of [0-9]+ lines are no flows' "$tmp/err"
echo '{"flow":{"source":{"identity":-1}}}' >"$tmp/wrong"
check "policy rehearse: a field that is wrong" says 1 "$tmp/wrong:1: flow.source.identity: '-1' is not a number" \
	clite policy rehearse "$tmp/new.yaml" --flows "$tmp/wrong"
check "policy rehearse: no file" says 3 "$tmp/none: No such file" clite policy rehearse "$tmp/new.yaml" --flows "$tmp/none"
check "policy rehearse: no candidate" says 2 "a candidate is missing" clite policy rehearse
background rehearsal host env --default-signal=INT "$BUILD/tools/clite/clite" policy rehearse "$tmp/new.yaml" --commit
rehearsal=$pid
rehearsed() {
	wait_for subscribers 1 && get red 10.96.0.1 && wait_for grep -q "would be DROPPED" "$tmp/rehearsal" &&
		kill -INT "$rehearsal" && wait "$rehearsal" && refused get red 10.96.0.1 &&
		status 0 clite policy import "$tmp/web.yaml" && get red 10.96.0.1
}
check "policy rehearse --commit: flows that come, then in force" rehearsed
background one host "$BUILD/tools/clite/clite" monitor -n 1
one=$pid
monitor_counts() {
	wait_for subscribers 1 && ping -c 2 -W 1 10.77.0.1 >/dev/null && wait "$one" &&
		[[ $(grep -c ' -> ' "$tmp/one") -eq 1 ]]
}
check "monitor --count ends by itself" monitor_counts

check "status" shows '^Map memory: +[0-9.]+ MB' status
check "status, JSON" json 'd["endpoints"], d["policies"], d["services"]' "2 1 1" status
check "bpf lb list" heading "SERVICE ADDRESS BACKEND ADDRESS (REVNAT_ID) (SLOT)" bpf lb list
check "bpf lb list, JSON" json '"10.77.0.2" in str(d)' True bpf lb list
check "bpf ct list" shows '^TCP OUT 10\.77\.0\.1:[0-9]+ -> 10\.96\.0\.1:80 ' bpf ct list
check "bpf ct list, JSON" json 'any(f["destination"]["port"] == 80 for f in d)' True bpf ct list
check "bpf ct list of an endpoint" status 0 clite bpf ct list shop/red
check "bpf policy get" heading "POLICY DIRECTION LABELS (source:key[=value]) PORT/PROTO RULE" bpf policy get 2
check "bpf policy list is another word for it" cmp <(clite bpf policy list 2) <(clite bpf policy get 2)
check "bpf policy get, JSON" json 'len(d) > 0' True bpf policy get 2
check "bpf ipcache list" heading "IP PREFIX/ADDRESS IDENTITY" bpf ipcache list
check "bpf ipcache list, JSON" json '"10.77.0.1/32" in str(d)' True bpf ipcache list
check "bpf metrics list" status 0 clite bpf metrics list
check "bpf metrics list, JSON" json 'sum(m["packets"] for m in d) > 0' True bpf metrics list
check "metrics list" heading "METRIC LABELS VALUE" metrics list
check "metrics list: a value" shows '^cilium_endpoint +2$' metrics list
check "metrics list: a pattern" shows '^cilium_lite_services +1$' metrics list -p '^cilium_lite_(serv|dev)ices$'
check "metrics list: nothing else" prints 3 grep -c . "$tmp/out"
check "metrics list: labels" shows '^cilium_policy_endpoint_enforcement_status +enforcement="ingress" +1$' metrics list
check "metrics list: a bad pattern" says 2 "'(' is no regular expression" clite metrics list -p '('
check "metrics list, JSON" json '[(m["labels"], m["type"], m["value"] > 0) for m in d]' \
	"[({'direction': 'INGRESS'}, 'counter', True), ({'direction': 'EGRESS'}, 'counter', True)]" \
	metrics list -p cilium_forward_count
check "metrics list --prometheus" shows '^# TYPE cilium_forward_count_total counter$' metrics list --prometheus
check "metrics list --prometheus, JSON" says 2 "which?" clite -o json metrics list --prometheus
if command -v promtool >/dev/null; then
	check "metrics list --prometheus: promtool" prints "" promtool check metrics < <(clite metrics list --prometheus)
fi
check "bpf ct flush" status 0 clite bpf ct flush
check "and nothing is left" json 'd' "[]" bpf ct list

to_a_full_disk() {
	clite endpoint list >/dev/full
}
check "a full disk is an error" says 1 "No space left" to_a_full_disk

check "policy delete" status 0 clite policy delete web
check "policy delete: none" says 3 "web" clite policy delete web
check "service update: mode" status 0 clite service update --frontend 10.96.0.9:80 --backends 10.77.0.9 \
	--mode ipip --id 9
check "service get: mode" shows '^Mode: +ipip$' service get 9
check "service update: no such mode" says 2 "'nat46' is none of snat, dsr, ipip, gue" clite service update \
	--frontend 10.96.0.9:80 --backends 10.77.0.9 --mode nat46
check "service update: dsr, and another port" status 0 clite service update --frontend 10.96.0.9:80 \
	--backends 10.77.0.9:8080 --mode dsr
check "service get: dsr" shows '^Mode: +dsr$' service get 9
check "service delete: mode" prints "service 9 deleted" clite service delete 9
check "device attach" prints "device 'lo' attached" clite device attach lo --xdp-generic --dsr --flows4 64 \
	--flows6 64 --new-flows 10 --gue-port 7000 --source4 10.0.0.0/8 --source6 fd00::1
check "status: XDP" shows '^Uplinks at XDP: +0 by the driver, 1 by the stack$' status
check "device attach: twice" says 1 "attached already" clite device attach lo --xdp
check "device detach" prints "device 'lo' detached" clite device detach lo
check "status: XDP, JSON" json 'd["xdp-native"], d["xdp-generic"]' "0 0" status
check "service delete" prints "service 1 deleted" clite service delete 1
check "service delete: none" says 3 "1" clite service delete 1
check "endpoint delete" prints "endpoint 1 deleted" clite endpoint delete shop/red
check "endpoint delete: none" says 3 "shop/red" clite endpoint delete shop/red
check "instance delete" prints "instance 'default' deleted" clite instance delete default
check "instance delete: none" says 3 "default" clite instance delete default

done_testing

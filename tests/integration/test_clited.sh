#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# The daemon: back ends that do not answer are quarantined and return, and what is not its
# business stays as it is; service files; signals, a death, the end of the instance.
# shellcheck disable=SC2317,SC2015,SC2016 # functions are called by name; awk has dollars
# shellcheck source=tests/integration/lib.sh
. "$(dirname "$0")/lib.sh"

vip4=10.96.0.80 vip6=fd96::80
config=$tmp/clited.yaml
daemon=0

[[ -x $BUILD/tools/clited/clited ]] || { echo "the build has no daemon clited"; exit 77; }

# ---- the daemon -----------------------------------------------------------------

start_clited() {
	: >"$tmp/log" # not what the last one said
	"$BUILD/tools/clited/clited" --config "$config" --log-level debug "$@" 2>"$tmp/log" &
	daemon=$!
	wait_for logged "instance 'default'" || die "clited: $(cat "$tmp/log")"
}

logged() {
	grep -qF -e "$1" "$tmp/log"
}

# It ends with this status by a signal: ends STATUS SIGNAL
ends() {
	local status=0

	kill "-$2" "$daemon"
	wait "$daemon" 2>/dev/null || status=$?
	[[ $status -eq $1 ]] || { echo "it ended with status $status"; return 1; }
}

# After SIGHUP it says this, once more: reload TEXT
reload() {
	local before

	before=$(grep -cF -e "$1" "$tmp/log")
	kill -HUP "$daemon"
	wait_for logged_more "$before" "$1" || { tail "$tmp/log"; return 1; }
}

logged_more() {
	[[ $(grep -cF -e "$2" "$tmp/log") -gt $1 ]]
}

# A configuration with one check, of all services by TCP; more lines: configure [LINE]...
configure() {
	printf '%s\n' "health-checks:" "- services: ['*']" "  interval: 100ms" "  fall: 3" "$@" >"$config"
}

# The same of one kind of services, by HTTP: configure_http SELECTOR [LINE]...
configure_http() {
	printf '%s\n' "health-checks:" "- services: ['$1']" "  kind: http" "  interval: 100ms" "${@:2}" >"$config"
}

# ---- what it is about -------------------------------------------------------------

# States of a service's back ends, in their order: states FRONTEND
states() {
	clite service get "$1" -o json | query '" ".join(b["state"] for b in d["spec"]["backend-addresses"])'
}

are() {
	[[ $(states "$2") == "$1" ]]
}

# They become these: becomes STATES FRONTEND
becomes() {
	wait_for are "$@" && return
	echo "$2: $(states "$2"), expected $1"
	tail -n 20 "$tmp/log"
	return 1
}

# They still are after some checks: remains STATES FRONTEND
remains() {
	local checks

	becomes "$@" || return
	checks=$(grep -c ": bad: \|: good: " "$tmp/log")
	wait_for checked $((checks + 20)) && prints "$1" states "$2"
}

checked() {
	[[ $(grep -c ": bad: \|: good: " "$tmp/log") -ge $1 ]]
}

server_pids=()

start_server() {
	serve "$1"
	server_pids[$(number_of "$1")]=$pid
}

stop_server() {
	stop "${server_pids[$(number_of "$1")]}"
}

number_of() {
	case $1 in
	web1) echo 11 ;;
	web2) echo 12 ;;
	web3) echo 13 ;;
	esac
}

family() {
	local address=address$1

	if [[ $1 == 4 ]]; then vip=$vip4; else vip=$vip6; fi
	front=$(in_url "$vip"):80
	be1=$(in_url "$("$address" 11)"):80 be2=$(in_url "$("$address" 12)"):80
	be3=$(in_url "$("$address" 13)"):80
}

service() {
	clite service update --frontend "$front/tcp" --backends "$be1,$be2,$be3" "$@" >/dev/null
}

# Every new connection is answered, and not by this one: without NAME
without() {
	local n

	for ((n = 0; n < 30; n++)); do
		get client "$vip" '' --max-time 2 >>"$tmp/answers" || return
	done
	! grep -q "^$1 " "$tmp/answers"
	local status=$?
	rm "$tmp/answers"
	return "$status"
}

# ---- checks ---------------------------------------------------------------------------

# Quarantined within fall * interval and a little: three checks, 100 ms apart.
down_and_up() {
	local began

	becomes "active active active" "$front" || return
	began=$(date +%s%N)
	stop_server web2
	becomes "active quarantined active" "$front" || return
	echo "it took $((($(date +%s%N) - began) / 1000000)) ms"
	[[ $((($(date +%s%N) - began) / 1000000)) -lt 2000 ]] && without web2 || return
	start_server web2
	becomes "active active active" "$front"
}

all_down() {
	stop_server web1
	stop_server web2
	stop_server web3
	becomes "quarantined quarantined quarantined" "$front"
}

all_up() {
	start_server web1
	start_server web2
	start_server web3
	becomes "active active active" "$front"
}

fail_open() {
	configure '  fail-open: true'
	reload "reading" && becomes "active active active" "$front" && start_server web1 &&
		becomes "active quarantined quarantined" "$front" && stop_server web1 &&
		remains "active active active" "$front"
	configure
	reload "reading" && becomes "quarantined quarantined quarantined" "$front"
}

# States that are somebody else's: web2 does not answer.
foreign_states() {
	service --states active,terminating,maintenance
	stop_server web2
	stop_server web3
	remains "active terminating maintenance" "$front" || return
	start_server web2
	start_server web3
	# web3 answers, and somebody does not want it all the same.
	service --states active,active,quarantined
	remains "active active quarantined" "$front" || return
	service
	becomes "active active active" "$front"
}

# All other properties of a service, without states.
properties() {
	clite service get "$front" -o json | query '[{k: v for k, v in d["spec"].items() if k != "backend-addresses"},
		[[b["ip"], b["port"], b["weight"]] for b in d["spec"]["backend-addresses"]]]'
}

keeps_properties() {
	local before

	service --name shop/web -l tier=front -l k8s:app=web --algorithm maglev --affinity 77 --backend-weights 1,2,3 --reject \
		--sources 192.0.2.0/24,2001:db8:77::/48 --sources-deny --external-local
	before=$(properties)
	stop_server web2
	becomes "active quarantined active" "$front" && prints "$before" properties || return
	# Somebody changes it meanwhile, and gets what he wants.
	service --name shop/web --affinity 55 --backend-weights 3,2,1
	becomes "active quarantined active" "$front" && before=$(properties) && [[ $before == *55* ]] || return
	start_server web2
	becomes "active active active" "$front" && prints "$before" properties
}

# A back end that was removed while it was quarantined does not come back.
removed_stays_removed() {
	stop_server web2
	service
	becomes "active quarantined active" "$front" || return
	clite service update --frontend "$front/tcp" --backends "$be1,$be3" >/dev/null
	start_server web2
	remains "active active" "$front" || return
	# Neither does a service; another one is checked meanwhile.
	clite service update --frontend "$(in_url "$vip"):81" --backends "$be1" >/dev/null &&
		clite service delete "$front/tcp" >/dev/null && remains active "$(in_url "$vip"):81" &&
		refused states "$front" 2>/dev/null && clite service delete "$(in_url "$vip"):81" >/dev/null && service
}

http() {
	configure_http 'shop/*' '  path: /5' '  status: 204'
	service --name shop/web
	reload "reading" && becomes "quarantined quarantined quarantined" "$front" &&
		logged "status 200, expected 204-204" || return
	sed -i 's/204/200-204/' "$config"
	reload "reading" && becomes "active active active" "$front" || return
	# It is asked for what is not there, and closes.
	sed -i 's,/5,/x,' "$config"
	reload "reading" && becomes "quarantined quarantined quarantined" "$front" || return
	sed -i 's,/x,/,; /status/d' "$config"
	reload "reading" && becomes "active active active" "$front"
}

# Another port; 503 unless the host header is right.
http_host() {
	background health web1 python3 -c 'if True:
		import http.server, socket
		class Handler(http.server.BaseHTTPRequestHandler):
			def do_GET(self):
				good = self.headers["Host"] == "health.test" and self.path == "/healthz"
				print(self.client_address[0].replace("::ffff:", ""), flush=True)
				self.send_response(200 if good else 503)
				self.end_headers()
			def log_message(self, *_):
				pass
		class Server(http.server.ThreadingHTTPServer):
			address_family = socket.AF_INET6
		server = Server(("::", 8080), Handler)
		print("ready", flush=True)
		server.serve_forever()'
	local server=$pid
	wait_for grep -q ready "$tmp/health" || return
	configure_http "$front/tcp" '  port: 8080' '  path: /healthz' '  host: health.test' \
		'  source4: 192.0.2.7' '  source6: 2001:db8::7'
	reload "reading" && becomes "active quarantined quarantined" "$front" || return
	grep -qE '^(192.0.2.7|2001:db8::7)$' "$tmp/health" || { cat "$tmp/health"; return 1; }
	sed -i 's/health.test/other.test/' "$config"
	reload "reading" && becomes "quarantined quarantined quarantined" "$front" &&
		logged "status 503" || return
	stop "$server"
	configure
	reload "reading" && becomes "active active active" "$front"
}

# It gets what is sent, and has no way to answer: a timeout, not a refusal.
silent() {
	ip -n web2 route del default
	becomes "active quarantined active" "$front" && logged "no answer within 100 ms"
	local status=$?
	ip -n web2 route add default via "$gateway4" dev eth0 onlink
	becomes "active active active" "$front" && return "$status"
}

# ---- its life ----------------------------------------------------------------------------

bad_config() {
	cp "$config" "$tmp/good.yaml"
	sed -i 's/interval: .*/interval: often/' "$config"
	reload "stays as it was" && logged "clited.yaml:3: interval: 'often' is not a time" || return
	cp "$tmp/good.yaml" "$config"
	down_and_up
}

# Killed, it leaves states; started again, it takes over what is quarantined.
killed() {
	stop_server web2
	becomes "active quarantined active" "$front" || return
	ends 137 KILL
	start_server web2
	prints "active quarantined active" states "$front" && start_clited &&
		becomes "active active active" "$front"
}

terminated() {
	stop_server web2
	becomes "active quarantined active" "$front" && ends 0 TERM &&
		prints "active quarantined active" states "$front" || return
	start_clited
	start_server web2
	becomes "active active active" "$front" && ends 0 INT && start_clited
}

no_instance() {
	local status=0

	clite instance delete default >/dev/null
	wait "$daemon" || status=$?
	[[ $status -eq 3 ]] && logged "the instance 'default' was destroyed" || return
	status=0
	"$BUILD/tools/clited/clited" --config "$config" 2>"$tmp/log" || status=$?
	[[ $status -eq 3 ]] && logged "no instance 'default'"
}

made() {
	start_clited --create
	clite status >/dev/null && ends 0 TERM
}

# Neither root nor its folders, and what is needed still works.
unprivileged() {
	start_clited --user nobody
	prints "$(id -u nobody)" awk '/^Uid:/ { print $2 }' "/proc/$daemon/status" &&
		prints "000000c000001000" awk '/^CapEff:/ { print $2 }' "/proc/$daemon/status" &&
		service && becomes "active active active" "$front" && stop_server web2 &&
		becomes "active quarantined active" "$front" && start_server web2 &&
		becomes "active active active" "$front" && ends 0 TERM
}

# What systemd would hear.
notified() {
	background notify host python3 -c 'if True:
		import socket, sys
		s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
		s.bind(sys.argv[1])
		print("socket", flush=True)
		while True:
			print(s.recv(4096).decode().split("\n")[0], flush=True)' "$tmp/notify.sock"
	local server=$pid
	wait_for grep -q socket "$tmp/notify" || return
	NOTIFY_SOCKET=$tmp/notify.sock WATCHDOG_USEC=200000 start_clited
	wait_for grep -q WATCHDOG=1 "$tmp/notify" && wait_for grep -q READY=1 "$tmp/notify" && reload "reading" &&
		wait_for grep -q RELOADING=1 "$tmp/notify" && ends 0 TERM &&
		wait_for grep -q STOPPING=1 "$tmp/notify"
	local status=$?
	stop "$server"
	cat "$tmp/notify"
	return "$status"
}

# ---- service files --------------------------------------------------------------------------

# One service and its slice, for each name: document NAME:ADDRESS...
document() {
	local one

	for one; do
		cat <<-YAML
		---
		apiVersion: v1
		kind: Service
		metadata: { name: ${one%:*}, namespace: files }
		spec:
		  clusterIP: ${one#*:}
		  ports: [{ port: 80 }]
		---
		apiVersion: discovery.k8s.io/v1
		kind: EndpointSlice
		metadata:
		  name: ${one%:*}-1
		  namespace: files
		  labels: { kubernetes.io/service-name: ${one%:*} }
		addressType: IPv4
		ports: [{ name: "", port: 80, protocol: TCP }]
		endpoints:
		- addresses: [$(address4 11)]
		- addresses: [$(address4 12)]
		YAML
	done
}

names() {
	clite service list -o json | query '" ".join(sorted(s["spec"]["flags"]["name"] for s in d if s["spec"]["flags"].get("namespace") == "files"))'
}

named() {
	wait_for prints "$1" names && return
	echo "services: $(names), expected $1"
	tail "$tmp/log"
	return 1
}

files() {
	mkdir "$tmp/files"
	document one:10.96.1.1 two:10.96.1.2 >"$tmp/files/a.yaml"
	echo "services: [$tmp/files/a.yaml, $tmp/files/later/b.yaml]" >>"$config"
	start_clited
	named "one two" || return
	# Written in place, replaced, a link that is turned, a folder that comes later.
	document one:10.96.1.1 >"$tmp/files/a.yaml"
	named one || return
	document one:10.96.1.1 three:10.96.1.3 >"$tmp/files/new" && mv "$tmp/files/new" "$tmp/files/a.yaml"
	named "one three" || return
	document four:10.96.1.4 >"$tmp/elsewhere.yaml" && ln -sfn "$tmp/elsewhere.yaml" "$tmp/files/a.yaml"
	named four || return
	mkdir "$tmp/files/later" && document five:10.96.1.5 >"$tmp/files/later/b.yaml"
	named "five four"
}

bad_file() {
	echo "kind: [" >"$tmp/files/later/b.yaml"
	wait_for logged "b.yaml:" && named "five four" || return
	rm "$tmp/files/later/b.yaml"
	wait_for logged "No such file" && named "five four" || return
	document six:10.96.1.6 >"$tmp/files/later/b.yaml"
	named "four six"
}

# An import says active: it is quarantined again at once, also after a restart.
import_and_quarantine() {
	stop_server web2
	becomes "active quarantined" 10.96.1.6:80 || return
	document six:10.96.1.6 seven:10.96.1.7 >"$tmp/files/later/b.yaml"
	named "four seven six" && remains "active quarantined" 10.96.1.6:80 &&
		becomes "active quarantined" 10.96.1.7:80 || return
	ends 0 TERM
	start_clited
	remains "active quarantined" 10.96.1.6:80 && start_server web2 &&
		becomes "active active" 10.96.1.6:80
}

file_taken_away() {
	sed -i "s|, $tmp/files/later/b.yaml||" "$config"
	reload "its services were removed" && named four && ends 0 TERM && named four
}

# ---- the stage ----------------------------------------------------------------------------------

make_host
ip addr add 192.0.2.7/32 dev lo
ip addr add 2001:db8::7/128 dev lo nodad
workload client 10
workload web1 11
workload web2 12
workload web3 13
for name in web1 web2 web3; do start_server $name; done

new_instance() {
	clite instance create default >/dev/null || die "cannot create an instance"
	for name in client:10 web1:11 web2:12 web3:13; do endpoint "${name%:*}" "${name#*:}"; done
}

new_instance
configure
start_clited
for f in 4 6; do
	family $f
	service
	check "IPv$f: a back end goes and returns" down_and_up
	check "IPv$f: all are down" all_down
	check "IPv$f: fail-open" fail_open
	check "IPv$f: all return" all_up
	check "IPv$f: states that are somebody else's" foreign_states
	check "IPv$f: a service keeps its properties" keeps_properties
	check "IPv$f: what was removed stays removed" removed_stays_removed
	check "IPv$f: HTTP, and its status" http
	check "IPv$f: HTTP, port, path, host and source" http_host
	clite service delete "$front/tcp" >/dev/null
done
family 4
service
check "a back end that is silent" silent
check "a bad configuration is refused" bad_config
check "killed and started again" killed
check "SIGTERM and SIGINT" terminated
ends 0 TERM
check "systemd hears of it" notified
check "it drops its privileges" unprivileged
check "service files" files
check "a bad service file" bad_file
check "what is imported stays quarantined" import_and_quarantine
check "a file that is not named any more" file_taken_away
start_clited
check "the end of the instance" no_instance
check "it makes the instance" made
done_testing

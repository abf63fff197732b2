#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# The daemon serves flows: real traffic by a Unix socket and by TCP, with TLS and without;
# what SIGHUP changes and what it leaves; another user; the end.
# shellcheck disable=SC2317 # functions are called by name
# shellcheck source=tests/integration/lib.sh
. "$(dirname "$0")/lib.sh"

clited=$BUILD/tools/clited/clited
config=$tmp/clited.yaml
socket=unix://$tmp/hubble.sock
daemon=0

[[ -x $clited ]] || { echo "the build has no daemon clited"; exit 77; }
[[ -e $BUILD/src/hubble/libcilium-lite-hubble.so ]] || { echo "the build has no Hubble"; exit 77; }

start_clited() {
	: >"$tmp/log"
	"$clited" --config "$config" "$@" 2>"$tmp/log" &
	daemon=$!
	wait_for logged "instance 'default'" || die "clited: $(cat "$tmp/log")"
}

logged() {
	grep -qF -e "$1" "$tmp/log"
}

# After SIGHUP it says this: reload TEXT
reload() {
	: >"$tmp/log"
	kill -HUP "$daemon"
	wait_for logged "$1" || { cat "$tmp/log"; return 1; }
}

observe() {
	timeout 20 "$tool" observe "$@"
}

status_of() {
	timeout 20 "$tool" hubble status --server "$@"
}

# Something asked of a server has this in it: has TEXT COMMAND...
has() {
	local text=$1

	shift
	"$@" >"$tmp/has" 2>&1 && grep -qF -e "$text" "$tmp/has" && return
	cat "$tmp/has"
	return 1
}

observed() {
	observe --server "$1" | grep -qE -e "$2"
}

# A CA of this name, and a certificate of it for localhost: certificates NAME
certificates() {
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj "/CN=$1" \
		-keyout "$tmp/$1.ca.key" -out "$tmp/$1.ca.crt" &&
		openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=localhost" \
			-keyout "$tmp/$1.key" -out "$tmp/$1.csr" &&
		openssl x509 -req -in "$tmp/$1.csr" -CA "$tmp/$1.ca.crt" -CAkey "$tmp/$1.ca.key" \
			-CAcreateserial -days 2 -out "$tmp/$1.crt" \
			-extfile <(echo 'subjectAltName=DNS:localhost,IP:127.0.0.1')
}

tls() {
	echo --server 127.0.0.1:4244 --tls --tls-ca-cert-files "$tmp/$1.ca.crt"
}

# shellcheck disable=SC2046
tls_status() {
	timeout 20 "$tool" hubble status $(tls "$1") "${@:2}"
}

socket_mode_is() {
	[[ $(stat -c '%a %F' "$tmp/hubble.sock") == "$1 socket" ]]
}

# ---- a Unix socket --------------------------------------------------------------------

make_host
clite instance create default >/dev/null || die "no instance"
workload client 11
workload server 12
endpoint client 11
endpoint server 12
serve server

cat >"$config" <<YAML
node: node-7
hubble:
  flows: 1000
  listen: [{address: "$socket", mode: 0640}]
YAML
start_clited
check "it says what the flows take" logged "hubble: node 'node-7', the last 1000 flows in"
check "the socket has its mode" socket_mode_is 640
check "it is healthy, and has room" has "Current/Max Flows: 0/1,000" status_of "$socket"
get client "$(address4 12)" >/dev/null 2>&1
check "flows are seen" wait_for observed "$socket" 'client:[0-9]+ .*-> .*server:80 .*SYN'
check "answers, too" observed "$socket" 'client:[0-9]+ .*<- .*server:80 .*SYN, ACK'
check "its node has its name" has node-7 timeout 20 "$tool" hubble list nodes --server "$socket"

# Who follows gets what comes: follows
follows() {
	observe --server "$socket" --follow --protocol icmp >"$tmp/follow" 2>&1 &
	local follower=$!

	wait_for eval "ping_to client $(address4 12); grep -q EchoReply $tmp/follow"
	local r=$?
	stop "$follower"
	return $r
}
check "who follows gets what comes" follows

# ---- SIGHUP --------------------------------------------------------------------------

check "certificates" certificates one
certificates two >/dev/null 2>&1
cat >"$config" <<YAML
node: node-7
hubble:
  flows: 1000
  listen:
  - {address: "$socket", mode: 0640}
  - {address: "127.0.0.1:4244", cert: "$tmp/one.crt", key: "$tmp/one.key", client-ca: "$tmp/one.ca.crt"}
YAML
mine=(--tls-client-cert-file "$tmp/one.crt" --tls-client-key-file "$tmp/one.key")
check "SIGHUP adds an address" reload "reading $config again"
check "with TLS" wait_for tls_status one "${mine[@]}"
check "who has no certificate is not served" refused tls_status one
check "nor who has another's" refused tls_status one \
	--tls-client-cert-file "$tmp/two.crt" --tls-client-key-file "$tmp/two.key"
check "a server that another CA has signed is not trusted" refused tls_status two "${mine[@]}"
check "the flows from before are there" observed "$socket" 'client:[0-9]+ .*-> .*server:80 .*SYN'

cp "$tmp/two.crt" "$tmp/one.crt" && cp "$tmp/two.key" "$tmp/one.key"
sed -i 's/, client-ca: [^}]*//' "$config"
check "SIGHUP reads certificates again" reload "reading $config again"
check "the new one is served" wait_for tls_status two
check "the old one is not" refused tls_status one

echo garbage >"$tmp/one.crt"
check "a bad one is refused" reload "the configuration stays as it was"
check "and the last good one served" tls_status two
cp "$tmp/two.crt" "$tmp/one.crt"

sed -i '/4244/d; s/1000/2000/' "$config"
check "what needs a restart is said" reload "flows, aggregation and node change with a restart"
check "an address that is gone is not served" refused tls_status two
check "the other is" has "/1,000" status_of "$socket"

sed -i 's|listen:.*|listen: []|; /address/d' "$config"
check "without an address there is no server" reload "reading $config again"
check "the socket is gone" wait_for eval "! [[ -e $tmp/hubble.sock ]]"
kill "$daemon"
wait "$daemon"

# ---- another user; the end -------------------------------------------------------------

mkdir "$tmp/open" && chmod 711 "$tmp" && chown nobody "$tmp/open" || die "a folder of another user"
echo 'node: node-8' >"$config"
chmod 644 "$config"
start_clited --user nobody --hubble "unix://$tmp/open/hubble.sock"
check "another user serves" has "Current/Max Flows: 0/4,095" status_of "unix://$tmp/open/hubble.sock"
get client "$(address4 12)" >/dev/null 2>&1
check "and sees flows" wait_for observed "unix://$tmp/open/hubble.sock" 'client:[0-9]+ .*-> .*server:80 .*SYN'

ends() {
	local status=0

	kill -TERM "$daemon"
	wait "$daemon" || status=$?
	[[ $status -eq 0 && ! -e $tmp/open/hubble.sock ]]
}
check "SIGTERM ends it, and its socket goes" ends
check "an address that cannot be is told" fails_with "hubble: cannot listen at 'nowhere'" \
	timeout 10 "$clited" --config "$config" --hubble nowhere
done_testing

#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# Real packets in files: what was captured, why it was dropped, and that a file is whole
# however its making ends. Read by a reader of our own, and by tshark where there is one.
# shellcheck disable=SC2317,SC2015 # functions are called by name
# shellcheck source=tests/integration/lib.sh
. "$(dirname "$0")/lib.sh"

# An expression of a file, which is d: of FILE EXPRESSION [ARGUMENT]...
of() {
	python3 "$root/tests/integration/pcapng.py" "$tmp/$1" >"$tmp/json" && query "${@:2}" <"$tmp/json"
}

# Begin a capture into a file; it goes on until stop_capture: begin FILE [OPTION]...
begin() {
	local n

	n=$(subscribers)
	background "$1.out" host env --default-signal=INT "$tool" capture -w "$tmp/$1" "${@:2}"
	capture=$pid
	wait_for more_subscribers "$n" || die "no capture: $(cat "$tmp/$1.out")"
}

subscribers() {
	clite status -o json -v | query 'd["subscribers"]'
}

more_subscribers() {
	[[ $(subscribers) -gt $1 ]]
}

# By a signal (TERM), as "clite" says that all is well.
end_capture() {
	kill "-${1-TERM}" "$capture" && wait "$capture"
}

denied() {
	begin "$1" --to "$2" && refused ask red "$2" --count 1 --timeout 0.2 --size 77 &&
		refused ask green "$2" --timeout 0.2 --size 78 && end_capture || return
	cat "$tmp/$1.out"
	prints "[$3, $(($3 + 1))]" of "$1" '[p["length"] for p in d["packets"]]' &&
		prints "clite capture" of "$1" 'd["application"]' &&
		prints "[('red', 1), ('green', 1)]" of "$1" \
			'[(d["interfaces"][p["interface"]]["name"], p["direction"]) for p in d["packets"]]' &&
		prints True of "$1" 'all(bytes.fromhex(p["data"]).endswith(b"?" * 77) for p in d["packets"])' &&
		prints True of "$1" 'all(len(p["data"]) == 2 * p["length"] for p in d["packets"])' &&
		prints True of "$1" '"Policy denied DROPPED reason=133 at " in d["packets"][0]["comment"]' &&
		prints True of "$1" '__import__("re").search(r": red:\d+ \(ID:\d+\) -> blue:53 \(ID:\d+\)$", d["packets"][0]["comment"]) is not None' &&
		prints "[(1, 0), (1, 0)]" of "$1" '[(s["delivered"], s["lost"]) for s in d["statistics"]]' &&
		grep -qx "2 packets written, 0 lost" "$tmp/$1.out"
}

deny_rule() {
	allow blue blue green red | import
	begin rule && refused ask red "$(address4 2)" --timeout 0.2 && end_capture || return
	allow blue blue blue | import
	prints True of rule '"DROPPED reason=181" in d["packets"][0]["comment"] and " rule=blue ingressDeny[0]" in d["packets"][0]["comment"]'
}

mode_is_private() {
	touch "$tmp/mode" && chmod 666 "$tmp/mode" && begin mode && end_capture INT &&
		prints 600 stat -c %a "$tmp/mode" && prints 0 of mode 'len(d["packets"])'
}

# Datagrams that are dropped: flood COUNT SIZE
flood() {
	in_ns red python3 -c 'import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for _ in range(int(sys.argv[2])):
    s.sendto(b"!" * int(sys.argv[3]), (sys.argv[1], 53))' "$(address4 2)" "$@"
}

# Cut off, and the rest of it is told.
snaplen() {
	begin snap --snaplen 60 && refused ask red "$(address4 2)" --timeout 0.2 --size 500 &&
		end_capture || return
	prints "[(542, 60)]" of snap '[(p["length"], len(p["data"]) // 2) for p in d["packets"]]' &&
		prints "[60]" of snap '[i["snaplen"] for i in d["interfaces"]]'
}

# Large packets of the stack lie in many pieces: every byte is there, headers of all kinds.
pieces() {
	allow blue blue red | import
	begin "$1" --all --from "$2" --protocol tcp --port 80 && get red "$2" 2000000 -o /dev/null &&
		end_capture || return
	allow blue blue blue | import
	prints True of "$1" 'max(p["length"] for p in d["packets"]) > 20000' &&
		prints True of "$1" 'all(len(p["data"]) // 2 == min(p["length"], 16384) for p in d["packets"])' &&
		prints True of "$1" "all(set(bytes.fromhex(p['data'])[$3 + 32:]) <= {120} for p in d['packets'] if p['length'] > 2000)" &&
		prints True of "$1" 'sum(p["length"] for p in d["packets"]) > 2000000' &&
		prints True of "$1" 'all("FORWARDED" in p["comment"] for p in d["packets"])'
}

count_ends_it() {
	background count.out host "$tool" capture -w "$tmp/count" --count 3
	capture=$pid
	wait_for more_subscribers 0 || return
	refused ask red "$(address4 2)" --timeout 0.1 && refused ask red "$(address4 2)" --timeout 0.1 &&
		refused ask red "$(address4 2)" --timeout 0.1 && wait "$capture" && prints 3 of count 'len(d["packets"])'
}

filters() {
	begin listed --allowlist '{"destination_port":["53"],"verdict":["DROPPED"]}' \
		--denylist '{"source_pod":["green"]}' --protocol udp || return
	refused ask red "$(address4 2)" --timeout 0.2 && refused ask red "$(address4 2)" --port 54 --timeout 0.2 &&
		refused ask green "$(address4 2)" --timeout 0.2 && end_capture &&
		prints "['red']" of listed '[d["interfaces"][p["interface"]]["name"] for p in d["packets"]]'
}

# What was lost is told: a reader of the pipe that stands still, then goes on.
slow_reader() {
	local reader

	mkfifo "$tmp/fifo" "$tmp/fifo.go" || return
	sh -c 'read -r _ <"$1"; cat' sh "$tmp/fifo.go" <"$tmp/fifo" >"$tmp/slow" &
	reader=$!
	begin fifo || return
	flood 16000 1400 || return
	echo >"$tmp/fifo.go"
	end_capture && wait "$reader" || return
	cat "$tmp/fifo.out"
	prints "True 16000" of slow '"{} {}".format(d["statistics"][0]["lost"] > 0, d["statistics"][0]["lost"] + len(d["packets"]))'
}

rotates() {
	begin ring --max-bytes 8192 --max-files 3 || return
	flood 30 1000 && end_capture || return
	ls "$tmp"/ring*
	[[ -e $tmp/ring.2 && ! -e $tmp/ring.3 ]] && prints True of ring.2 '4096 < d["bytes"] <= 8192' &&
		prints True of ring.1 'd["bytes"] <= 8192 and d["statistics"][0]["delivered"] == len(d["packets"])' &&
		prints True of ring 'len(d["packets"]) > 0'
}

max_bytes() {
	background max.out host "$tool" capture -w "$tmp/max" --max-bytes 4096
	capture=$pid
	wait_for more_subscribers 0 || return
	flood 30 1000 && wait "$capture" || return
	cat "$tmp/max.out"
	grep -q "has reached --max-bytes" "$tmp/max.out" && prints True of max '2000 < d["bytes"] <= 4096'
}

refusals() {
	ln -s /dev/null "$tmp/link"
	fails_with "symbolic link" clite capture -w "$tmp/link" &&
		fails_with "-w FILE is missing" clite capture &&
		fails_with "No such file or directory" clite capture -w "$tmp/none/file" &&
		fails_with "nonsense" clite capture -w "$tmp/x" --protocol nonsense &&
		fails_with "nobody" clite capture -w "$tmp/x" --from nobody &&
		fails_with "--max-files" clite capture -w "$tmp/x" --max-files 2
}

# To a pipe that somebody reads, live.
to_tshark() {
	begin shark --to "$(address4 2)" && refused ask red "$(address4 2)" --timeout 0.2 && end_capture || return
	prints "$(address4 1)	$(address4 2)	True" sh -c "tshark -r '$tmp/shark' -Y 'frame.comment contains \"Policy denied\"' \
		-T fields -e ip.src -e ip.dst -e udp.dstport 2>/dev/null | sed 's/53\$/True/'" &&
		capinfos "$tmp/shark"
}

make_host
make_world
workload red 1
workload blue 2
workload green 3
serve blue
clite instance create default >/dev/null || die "cannot create an instance"
endpoint red 1
endpoint blue 2
endpoint green 3
allow blue blue blue | import

check "drops with their reason, IPv4" denied drop4 "$(address4 2)" 119
check "drops with their reason, IPv6" denied drop6 "$(address6 2)" 139
check "a rule that denies is named" deny_rule
check "only the owner may read it; an empty one is whole" mode_is_private
check "--snaplen" snaplen
check "packets in pieces, IPv4" pieces gso4 "$(address4 2)" 34
check "packets in pieces, IPv6" pieces gso6 "$(address6 2)" 54
check "--count ends it" count_ends_it
check "filters of both kinds" filters
check "a slow reader: what is lost is told" slow_reader
check "--max-bytes with --max-files goes on in another file" rotates
check "--max-bytes ends it" max_bytes
check "what it refuses" refusals
if command -v tshark >/dev/null && command -v capinfos >/dev/null; then
	check "tshark and capinfos read it" to_tshark
else
	echo "skip: there is no tshark"
fi
done_testing

# SPDX-License-Identifier: BSD-2-Clause
# Completion of clite(1) for bash. Commands and options come from its own help,
# names of instances, endpoints and so on from the instance.

# Words under "Commands:"; nothing for a command without any below it.
_clite_words() {
	sed -n '/^Commands:$/,/^$/s/^  \([a-z]*\) .*/\1/p' <<<"$1"
}

_clite_options() {
	grep -oE '^ +(-[A-Za-z0-9], )?--[a-z0-9-]+' <<<"$1" | grep -oE -- '-[a-z0-9-]+'
}

# First column of a list.
_clite_names() {
	clite "${globals[@]}" "$@" --no-headers 2>/dev/null | sed -n 's/^\([^ ]\+\).*/\1/p'
}

_clite_files() {
	compopt -o filenames
	words=$(compgen -f -- "$cur")
}

# "KEY=" of each setting; with a key, its values.
_clite_settings() {
	local help key=${1-[A-Z][A-Za-z]*}

	help=$(clite help config 2>/dev/null)
	if [[ $# -eq 0 ]]; then
		sed -n "s/^  \($key=\)[^ ]* .*/\1/p" <<<"$help"
	else
		sed -n "s/^  $key=\([^ ]*\) .*/\1/Ip" <<<"$help" | tr '|' '\n'
	fi
}

# What an argument of a command may be, into words.
_clite_argument() {
	case $1 in
	"policy import" | "policy validate" | "policy rehearse" | "service import") _clite_files ;;
	observe) words=$'flows\nagent-events\ndebug-events' ;;
	"policy get" | "policy list" | "policy delete" | "policy rm")
		words=$(_clite_names policy get)
		;;
	"endpoint get" | "endpoint delete" | "endpoint rm" | "bpf ct "* | "bpf policy "*)
		words=$(_clite_names endpoint list)
		;;
	config)
		compopt -o nospace 2>/dev/null
		words=$(_clite_settings)
		;;
	"endpoint config")
		words=$(_clite_names endpoint list)
		words+=$'\nPolicyAuditMode=Enabled\nPolicyAuditMode=Disabled'
		;;
	"identity get") words=$(_clite_names identity list) ;;
	"service get" | "service delete" | "service rm") words=$(_clite_names service list) ;;
	"instance delete" | "instance rm") words=$(_clite_names instance list) ;;
	"cgroup attach")
		compopt -o filenames
		words=$(compgen -d -- "$cur")
		;;
	"cgroup detach") words=$(_clite_names cgroup list) ;;
	"endpoint add" | "device attach" | "device detach") words=$(ls /sys/class/net) ;;
	esac
}

# Forms of output, into words.
_clite_outputs() {
	case $path in
	observe) words=$'compact\ndict\njson\njsonpb\ntable' ;;
	"hubble status") words=$'compact\ndict\njson\ntable' ;;
	"hubble list "*) words=$'table\nwide\njson' ;;
	*) words=$'json\ntext' ;;
	esac
}

# What the value of an option may be, into words; fails if it takes none.
_clite_value() {
	case $1 in
	-i | --instance) words=$(_clite_names instance list) ;;
	-o | --output) _clite_outputs ;;
	-t | --type)
		words=$'drop\ntrace\npolicy-verdict'
		[[ $path != observe ]] || words+=$'\nl7\ncapture\ntrace-sock\ntrace:from-endpoint\ntrace:to-endpoint\ntrace:to-host\ntrace:to-network\ntrace:to-stack'
		;;
	--verdict) words=$'FORWARDED\nDROPPED\nAUDIT\nREDIRECTED\nERROR\nTRACED\nTRANSLATED' ;;
	--traffic-direction) words=$'ingress\negress' ;;
	--ip-version) words=$'v4\nv6\nnone' ;;
	--color) words=$'auto\nalways\nnever' ;;
	--time-format) words=$'StampMilli\nYearMonthDay\nYearMonthDayHour\nYearMonthDayHourMinute\nRFC3339\nRFC3339Milli\nRFC3339Micro\nRFC3339Nano\nRFC1123Z' ;;
	--input-file | --tls-ca-cert-files | --tls-client-cert-file | --tls-client-key-file) _clite_files ;;
	--pod | --from-pod | --to-pod) words=$(clite "${globals[@]}" -o json endpoint list 2>/dev/null | sed -n 's/.*"name": "\(.*\)".*/\1/p') ;;
	--interface) words=$(ls /sys/class/net) ;;
	--*identity) words=$'host\nworld\nunmanaged\nhealth\ninit\nremote-node\nkube-apiserver\ningress\nworld-ipv4\nworld-ipv6' ;;
	--config)
		compopt -o nospace 2>/dev/null
		words=$(_clite_settings)
		;;
	--kind) words=$'ClusterIP\nNodePort\nExternalIP\nLoadBalancer\nHostPort\nStandalone' ;;
	--algorithm) words=$'random\nmaglev' ;;
	--mode) words=$'snat\ndsr\nipip\ngue' ;;
	--states) words=$'active\nterminating\nquarantined\nmaintenance' ;;
	--packet | -w | --write) _clite_files ;;
	--protocol)
		words=$'icmp\nicmpv4\nicmpv6\ntcp\nudp\nsctp'
		[[ $path != observe ]] || words+=$'\nvrrp\nigmp\ndns\nhttp\nkafka'
		;;
	--from | --to | --related-to | --src | --dst) words=$(_clite_names endpoint list) ;;
	--bpffs) _clite_files ;;
	-*)
		# The help shows a value behind it: nothing to offer, but no option either.
		grep -qE "^ +(-[A-Za-z0-9], )?$1 [^ ]|^ +$1, --[a-z-]+ [^ ]" <<<"$help"
		;;
	*) return 1 ;;
	esac
}

_clite() {
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]}
	local path="" words="" key="" help next i word
	local -a globals=()

	COMPREPLY=()
	help=$(clite --help 2>/dev/null) || return
	for ((i = 1; i < COMP_CWORD; i++)); do
		case ${COMP_WORDS[i]} in
		-i | --instance | --bpffs)
			globals+=("${COMP_WORDS[i]}" "${COMP_WORDS[++i]}")
			;;
		-o | --output) ((i++)) ;;
		-*) ;;
		*)
			# "help" is followed by the words of a command; those end
			# where a command has none below it.
			[[ -z $path && ${COMP_WORDS[i]} == help ]] && continue
			[[ -n $(_clite_words "$help") ]] || continue
			next="$path${path:+ }${COMP_WORDS[i]}"
			# shellcheck disable=SC2086 # the words of a path
			help=$(clite help $next 2>/dev/null) || return
			path=$next
			;;
		esac
	done

	# "KEY=VALUE" is three words.
	if [[ $cur == = ]]; then
		key=$prev cur=""
	elif [[ $prev == = ]]; then
		key=${COMP_WORDS[COMP_CWORD - 2]}
	fi
	if [[ $key == [A-Z]* ]]; then
		words=$(_clite_settings "${key//[^A-Za-z]/}")
	elif ! _clite_value "$prev"; then
		if [[ $cur == -* ]]; then
			words=$(_clite_options "$help")
		else
			words=$(_clite_words "$help")
			[[ -n $words ]] || _clite_argument "$path"
		fi
	fi
	# Not compgen -W: it would expand what is in a name.
	while IFS= read -r word; do
		[[ -n $word && $word == "$cur"* ]] && COMPREPLY+=("$word")
	done <<<"$words"
}

complete -F _clite clite

# SPDX-License-Identifier: BSD-2-Clause
# Completion of clited(8) for bash.
_clited() {
	local cur=$2 prev=$3 words=

	COMPREPLY=()
	case $prev in
	-i | --instance) words=$(clite instance list --no-headers 2>/dev/null | sed -n 's/^\([^ ]\+\).*/\1/p') ;;
	-c | --config | --bpffs)
		compopt -o filenames
		words=$(compgen -f -- "$cur")
		;;
	--metrics) words=":9962" ;;
	--user) words=$(compgen -u) ;;
	--log-level) words="error warning notice info debug" ;;
	*) words=$(clited --help 2>/dev/null | grep -oE '^ +(-[a-z], )?--[a-z-]+' | grep -oE -- '-[a-z-]+') ;;
	esac
	mapfile -t COMPREPLY < <(compgen -W "$words" -- "$cur")
}
complete -F _clited clited

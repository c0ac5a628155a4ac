# bash completion for fairctl: asks the program, which answers from its table of commands.
_fairctl() {
	local cur line
	cur=${COMP_WORDS[COMP_CWORD]}
	COMPREPLY=()
	while IFS= read -r line; do
		case $line in
		@file) mapfile -t COMPREPLY < <(compgen -f -- "$cur") ;;
		@dir) mapfile -t COMPREPLY < <(compgen -d -- "$cur") ;;
		*) COMPREPLY+=("${line%%$'\t'*}") ;;
		esac
	done < <("${COMP_WORDS[0]}" completion words -- "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
}
complete -o filenames -F _fairctl fairctl

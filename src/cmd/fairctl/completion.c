/* completion: scripts for bash and zsh that ask the program itself, which answers from its table: they never grow old. */
#include "cmd/fairctl/commands.h"
#include <stdio.h>

/* completion/ holds the same texts, for packages; a test compares them. */
static const char bash[] =
    "# bash completion for fairctl: asks the program, which answers from its table of commands.\n"
    "_fairctl() {\n"
    "\tlocal cur line\n"
    "\tcur=${COMP_WORDS[COMP_CWORD]}\n"
    "\tCOMPREPLY=()\n"
    "\twhile IFS= read -r line; do\n"
    "\t\tcase $line in\n"
    "\t\t@file) mapfile -t COMPREPLY < <(compgen -f -- \"$cur\") ;;\n"
    "\t\t@dir) mapfile -t COMPREPLY < <(compgen -d -- \"$cur\") ;;\n"
    "\t\t*) COMPREPLY+=(\"${line%%$'\\t'*}\") ;;\n"
    "\t\tesac\n"
    "\tdone < <(\"${COMP_WORDS[0]}\" completion words -- \"${COMP_WORDS[@]:1:COMP_CWORD}\" 2>/dev/null)\n"
    "}\n"
    "complete -o filenames -F _fairctl fairctl\n";
static const char zsh[] =
    "#compdef fairctl\n"
    "# zsh completion for fairctl: asks the program, which answers from its table of commands.\n"
    "local line\n"
    "local -a found\n"
    "while IFS= read -r line; do\n"
    "\tcase $line in\n"
    "\t@file) _files ;;\n"
    "\t@dir) _files -/ ;;\n"
    "\t*) found+=(\"${${line%%$'\\t'*}//:/\\\\:}:${line#*$'\\t'}\") ;;\n"
    "\tesac\n"
    "done < <(\"${words[1]}\" completion words -- \"${(@)words[2,CURRENT]}\" 2>/dev/null)\n"
    "(( ${#found} )) && _describe fairctl found\n";

static void offer(const char *begun, const char *word, const char *about)
{
	if (!strncmp(word, begun, strlen(begun)))
		printf("%s\t%s\n", word, about);
}

static void offer_values(const struct ctl_flag *f, const char *begun)
{
	if (f->values && *f->values == '@') {
		if (strcmp(f->values, "@time"))
			puts(f->values);
		return;
	}
	for (struct fl_str rest = fl_str(f->values ? f->values : ""), v; rest.n;) {
		char word[64];
		rest = fl_str_cut(rest, '|', &v);
		snprintf(word, sizeof word, "%.*s", FL_FMT(v));
		offer(begun, word, f->help);
	}
}

static const struct ctl_flag *flag_of(const struct ctl_command *cmd, const char *word)
{
	for (const struct ctl_flag *f = cmd->flag; f && f->name; f++)
		if (word[0] == '-' && !strcmp(word + 1 + (word[1] == '-'), f->name))
			return f;
	static const struct ctl_flag output = { "output", "FORMAT", "text or json", "text|json", "text" };
	return cmd->json && !strcmp(word, "--output") ? &output : NULL;
}

static void offer_flags(const struct ctl_command *cmd, const char *begun)
{
	char word[64];
	for (const struct ctl_flag *f = cmd->flag; f && f->name; f++) {
		snprintf(word, sizeof word, "--%s", f->name);
		offer(begun, word, f->help);
	}
	if (cmd->json)
		offer(begun, "--output", "text or json");
	offer(begun, "--help", "this text");
}

/* The last word is the one that is being written. */
static void complete(char **word, unsigned n)
{
	const char *begun = n ? word[n - 1] : "";
	if (n < 2) {
		for (const struct ctl_command *const *c = ctl_commands; *c; c++)
			offer(begun, (*c)->name, (*c)->about);
		offer(begun, "help", "Flags of a command");
		return;
	}
	if (n == 2 && !strcmp(word[0], "help")) {
		complete(word + 1, 1);
		return;
	}
	const struct ctl_command *cmd = ctl_find(word[0], false);
	const struct ctl_flag *f = cmd && n > 2 ? flag_of(cmd, word[n - 2]) : NULL;
	if (f && f->arg)
		offer_values(f, begun);
	else if (cmd && (*begun == '-' || (!*begun && !cmd->max)))
		offer_flags(cmd, begun);
	else if (cmd)
		puts("@file");
}

static int run(struct ctl *c)
{
	if (!strcmp(c->arg[0], "words")) {
		complete(c->arg + 1, c->narg - 1);
		return 0;
	}
	const char *text = !strcmp(c->arg[0], "bash") ? bash : !strcmp(c->arg[0], "zsh") ? zsh : NULL;
	if (!text || c->narg > 1)
		return ctl_misuse(c, "a shell is bash or zsh, not \"%s\"", c->arg[c->narg > 1]);
	fputs(text, stdout);
	return 0;
}

const struct ctl_command ctl_completion = {
	.name = "completion", .about = "Completion for a shell, to be sourced", .args = "bash|zsh", .min = 1, .max = 256, .main = run,
};

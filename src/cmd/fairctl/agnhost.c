/* agnhost: the Kubernetes tests' program of that name, as far as its commands need no cluster: each is a row of the table, marked so.
 * (kubernetes test/images/agnhost) */
#include "cmd/fairctl/commands.h"
#include <stdio.h>

static void show(FILE *to)
{
	fprintf(to, "Usage:\n  app [command]\n\nAvailable Commands:\n");
	for (const struct ctl_command *const *c = ctl_commands; *c; c++)
		if ((*c)->agnhost)
			fprintf(to, "  %-16s %s\n", (*c)->name, (*c)->about);
	fprintf(to, "\nFlags:\n  -h, --help      help for app\n  -v, --version   version for app\n");
}

static int run(struct ctl *c)
{
	const char *name = c->narg ? c->arg[0] : "help";
	if (!strcmp(name, "help") || !strcmp(name, "-h") || !strcmp(name, "--help"))
		return show(stdout), 0;
	if (!strcmp(name, "-v") || !strcmp(name, "--version"))
		return puts("app version " FL_VERSION) < 0;
	const struct ctl_command *cmd = ctl_find(name, true);
	if (cmd)
		return ctl_run(cmd, "agnhost", true, (int)c->narg - 1, c->arg + 1);
	if (*name == '-')
		fprintf(stderr, "Error: unknown flag: %s\n", name);
	else
		fprintf(stderr, "Error: unknown command \"%s\" for \"app\"\n", name);
	return 1;
}

const struct ctl_command ctl_agnhost = {
	.name = "agnhost", .about = "A command as the image agnhost has it: the same output and status", .args = "COMMAND [FLAGS] [ARGUMENTS]",
	.raw = true, .serves = true, .main = run,
};

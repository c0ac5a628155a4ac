/* fairctl: small tools around a cluster's DNS. Called as agnhost, nslookup or sleep it acts as these. */
#include "cmd/fairctl/commands.h"
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define CTL_ENTRY(name) &ctl_##name,
const struct ctl_command *const ctl_commands[] = { CTL_COMMANDS(CTL_ENTRY) NULL };

const struct ctl_command *ctl_find(const char *name, bool agnhost)
{
	for (const struct ctl_command *const *c = ctl_commands; *c; c++)
		if (!strcmp((*c)->name, name) && (!agnhost || (*c)->agnhost))
			return *c;
	return NULL;
}

/* ---- the limit: whatever a command waits for ---- */

static char over[128];

static void on_alarm(int sig)
{
	(void)sig;
	if (write(2, over, strlen(over)) < 0)
		_exit(3);
	_exit(1);
}

void ctl_limit(unsigned seconds)
{
	signal(SIGALRM, on_alarm);
	alarm(seconds);
}

/* What was printed has reached its file, or the status says so. */
static int finish(const struct ctl *c, int status)
{
	if (!fflush(stdout) && !ferror(stdout))
		return status;
	int ret = ctl_fail(c, "write standard output: %s", strerror(errno));
	return status ? status : ret;
}

int ctl_run(const struct ctl_command *cmd, const char *program, bool agnhost, int argc, char **argv)
{
	struct ctl c = { .cmd = cmd, .program = program, .agnhost = agnhost };
	int ret = ctl_parse(&c, argc, argv);
	if (ret >= 0)
		return finish(&c, ret);
	if (!cmd->serves) {
		const char *env = getenv("FAIRCTL_LIMIT");      /* seconds: for tests */
		int64_t limit = cmd->limit_s ? cmd->limit_s : 60;
		if (env)
			fl_parse_int(fl_str(env), 1, limit, &limit);
		snprintf(over, sizeof over, "%s %s: gave up: it took too long\n", program, cmd->name);
		ctl_limit((unsigned)limit);
	}
	ret = cmd->main(&c);
	alarm(0);
	return finish(&c, ret);
}

/* ---- fairctl's own words ---- */

static void show(FILE *to)
{
	fprintf(to, "usage: fairctl COMMAND [FLAGS] [ARGUMENTS]\n\nSmall tools around a cluster's DNS.\n\n");
	for (const struct ctl_command *const *c = ctl_commands; *c; c++)
		fprintf(to, "  %-16s %s\n", (*c)->name, (*c)->about);
	fprintf(to, "\nfairctl help COMMAND or fairctl COMMAND --help: its flags. fairctl --version: the version.\n"
		    "Exit status: 0; 1: it did not work; 2: wrong flags.\n");
}

static int help(const char *of)
{
	const struct ctl_command *cmd = of ? ctl_find(of, false) : NULL;
	if (of && !cmd) {
		fprintf(stderr, "fairctl: unknown command \"%s\"\n", of);
		show(stderr);
		return 2;
	}
	struct ctl c = { .cmd = cmd, .program = "fairctl" };
	if (cmd)
		ctl_usage(&c, 1);
	else
		show(stdout);
	return fflush(stdout) ? 1 : 0;
}

static bool is(const char *word, const char *a, const char *b) { return !strcmp(word, a) || !strcmp(word, b); }

int main(int argc, char **argv)
{
	const char *slash = argc ? strrchr(argv[0], '/') : NULL, *self = slash ? slash + 1 : argc ? argv[0] : "fairctl";
	for (const char *const *as = (const char *const[]){ "agnhost", "nslookup", "sleep", NULL }; *as; as++)
		if (!strcmp(self, *as) && ctl_find(*as, false))
			return ctl_run(ctl_find(*as, false), *as, false, argc - 1, argv + 1);
	if (argc < 2) {
		show(stderr);
		return 2;
	}
	if (is(argv[1], "help", "help") || is(argv[1], "-h", "--help"))
		return help(argc > 2 ? argv[2] : NULL);
	if (is(argv[1], "version", "--version"))
		return puts("fairctl-" FL_VERSION) < 0 || fflush(stdout);
	const struct ctl_command *cmd = ctl_find(argv[1], false);
	if (!cmd) {
		fprintf(stderr, "fairctl: unknown command \"%s\"\n", argv[1]);
		show(stderr);
		return 2;
	}
	return ctl_run(cmd, "fairctl", false, argc - 2, argv + 2);
}

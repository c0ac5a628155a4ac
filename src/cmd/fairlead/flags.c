#include "cmd/fairlead/flags.h"
#include "base/str.h"
#include <stdio.h>
#include <time.h>

struct flag { const char *name, *arg, *help, *initial; const char **text; bool *on; bool *given; };

static void usage(const char *program, const struct flag *f)
{
	fprintf(stderr, "Usage of %s:\n", program);
	for (; f->name; f++) {
		fprintf(stderr, "  -%s%s%s\n    \t%s", f->name, f->arg ? " " : "", f->arg ? f->arg : "", f->help);
		if (f->initial)
			fprintf(stderr, " (default \"%s\")", f->initial);
		fprintf(stderr, "\n");
	}
}

static const struct flag *find(const struct flag *f, struct fl_str name)
{
	for (; f->name; f++)
		if (fl_str_is(name, f->name))
			return f;
	return NULL;
}

static int complain(const char *program, const struct flag *all, const char *text, struct fl_str name)
{
	fprintf(stderr, "%s%.*s\n", text, FL_FMT(name));
	usage(program, all);
	return 2;
}

static bool truth(struct fl_str v, bool *on)
{
	static const char *const yes[] = { "1", "t", "T", "true", "TRUE", "True" }, *const no[] = { "0", "f", "F", "false", "FALSE", "False" };
	for (unsigned i = 0; i < FL_COUNT(yes); i++)
		if (fl_str_is(v, yes[i]) || fl_str_is(v, no[i])) {
			*on = fl_str_is(v, yes[i]);
			return true;
		}
	return false;
}

/* Go's log.Fatal before CoreDNS takes the time stamp off. */
static int fatal(const char *fmt, const char *what)
{
	char date[32];
	time_t now = time(NULL);
	struct tm tm;
	strftime(date, sizeof date, "%Y/%m/%d %H:%M:%S", localtime_r(&now, &tm));
	fprintf(stderr, "%s ", date);
	fprintf(stderr, fmt, what);
	fputc('\n', stderr);
	return 1;
}

static int one(const char *program, const struct flag *all, int argc, char **argv, int *i)
{
	const char *arg = argv[*i];
	struct fl_str name, value = fl_str_cut(fl_str(arg + (arg[1] == '-' ? 2 : 1)), '=', &name);
	bool has_value = strchr(arg, '=') != NULL;
	if (!name.n)
		return complain(program, all, "bad flag syntax: ", fl_str(arg));
	if (fl_str_is(name, "h") || fl_str_is(name, "help")) {
		usage(program, all);
		return 0;
	}
	const struct flag *f = find(all, name);
	if (!f)
		return complain(program, all, "flag provided but not defined: -", name);
	if (f->given)
		*f->given = true;
	if (f->on) {
		*f->on = true;
		if (has_value && !truth(value, f->on))
			return complain(program, all, "invalid boolean value for -", name);
		return -1;
	}
	if (!has_value && ++*i == argc)
		return complain(program, all, "flag needs an argument: -", name);
	*f->text = has_value ? value.p : argv[*i];
	return -1;
}

int fl_flags_parse(struct fl_flags *f, int argc, char **argv)
{
	*f = (struct fl_flags){ .conf = "Corefile", .port = "53", .log_format = "text" };
	const struct flag all[] = {
		{ "check", NULL, "Check the Corefile strictly and exit", NULL, NULL, &f->check, NULL },
		{ "conf", "string", "Corefile to load", "Corefile", &f->conf, NULL, &f->conf_given },
		{ "dns.port", "string", "Default port", "53", &f->port, NULL, NULL },
		{ "log-format", "string", "Log format (text or json)", "text", &f->log_format, NULL, NULL },
		{ "p", "string", "Default port", "53", &f->port, NULL, NULL },
		{ "pidfile", "string", "Path to write pid file", NULL, &f->pidfile, NULL, NULL },
		{ "plugins", NULL, "List installed plugins", NULL, NULL, &f->plugins, NULL },
		{ "quiet", NULL, "Quiet mode (no initialization output)", NULL, NULL, &f->quiet, NULL },
		{ "version", NULL, "Show version", NULL, NULL, &f->version, NULL },
		{ 0 },
	};
	int i = 1;
	for (; i < argc && argv[i][0] == '-' && argv[i][1]; i++) {
		if (!strcmp(argv[i], "--")) {
			i++;
			break;
		}
		int ret = one(argv[0], all, argc, argv, &i);
		if (ret >= 0)
			return ret;
	}
	if (strcmp(f->log_format, "text") && strcmp(f->log_format, "json"))
		return fatal("unknown log format \"%s\": expected text or json", f->log_format);
	if (i == argc)
		return -1;
	char rest[512];
	size_t n = 0;
	for (; i < argc && n < sizeof rest - 2; i++)
		n += (size_t)snprintf(rest + n, sizeof rest - n, "%s%s", n ? " " : "", argv[i]);
	return fatal("extra command line arguments: [%s]", rest);
}

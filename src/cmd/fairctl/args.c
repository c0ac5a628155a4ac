/* Arguments and usage. Flags begin with one dash or two and stand anywhere before "--"; "-" is an argument, and so is a negative number. */
#include "cmd/fairctl/ctl.h"
#include "conf/conf.h"
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static const struct ctl_flag output = { "output", "FORMAT", "text or json", "text|json", "text" };
static const struct ctl_flag help = { "help", NULL, "this text", NULL, NULL };

/* The logging flags that every command of agnhost takes: they set what is not there. */
static const struct ctl_flag logging[] = {
	{ "v", "LEVEL", "", NULL, NULL }, { "vmodule", "SPEC", "", NULL, NULL }, { "log-flush-frequency", "DURATION", "", NULL, NULL },
};

static const struct ctl_flag *find(const struct ctl *c, struct fl_str name)
{
	for (const struct ctl_flag *f = c->cmd->flag; f && f->name; f++)
		if (fl_str_is(name, f->name))
			return f;
	if (c->cmd->json && !c->agnhost && (fl_str_is(name, "output") || fl_str_is(name, "o")))
		return &output;
	for (unsigned i = 0; c->agnhost && i < FL_COUNT(logging); i++)
		if (fl_str_is(name, logging[i].name))
			return &logging[i];
	return fl_str_is(name, "help") || fl_str_is(name, "h") ? &help : NULL;
}

/* ---- usage ---- */

static void line(FILE *to, const struct ctl_flag *f)
{
	char left[64];
	snprintf(left, sizeof left, "--%s%s%s", f->name, f->arg ? " " : "", f->arg ? f->arg : "");
	fprintf(to, strlen(left) > 26 ? "  %s\n%29s%s" : "  %-26s %.0s%s", left, "", f->help);
	if (f->values && *f->values != '@')
		fprintf(to, " (%s)", f->values);
	if (f->initial && *f->initial)
		fprintf(to, " (default %s)", f->initial);
	fputc('\n', to);
}

void ctl_usage(const struct ctl *c, int fd)
{
	FILE *to = fd == 1 ? stdout : stderr;
	const struct ctl_command *cmd = c->cmd;
	bool alone = !strcmp(c->program, cmd->name);
	fprintf(to, "usage: %s%s%s%s%s%s\n\n%s.\n\n", c->program, alone ? "" : " ", alone ? "" : cmd->name, cmd->raw ? "" : " [FLAGS]",
		cmd->args ? " " : "", cmd->args ? cmd->args : "", cmd->about);
	for (const struct ctl_flag *f = cmd->flag; f && f->name; f++)
		line(to, f);
	if (cmd->json && !c->agnhost)
		line(to, &output);
	line(to, &help);
}

/* ---- words ---- */

static void say(const struct ctl *c, const char *kind, const char *fmt, va_list ap)
{
	bool alone = !strcmp(c->program, c->cmd->name);
	fflush(stdout);
	fprintf(stderr, "%s%s%s: %s", c->program, alone ? "" : " ", alone ? "" : c->cmd->name, kind);
	vfprintf(stderr, fmt, ap);
	fputc('\n', stderr);
}

int ctl_fail(const struct ctl *c, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	say(c, "", fmt, ap);
	va_end(ap);
	return 1;
}

void ctl_warn(const struct ctl *c, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	say(c, "warning: ", fmt, ap);
	va_end(ap);
}

/* agnhost's status for this is 1 (cobra). */
int ctl_misuse(const struct ctl *c, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	if (c->agnhost) {
		fprintf(stderr, "Error: ");
		vfprintf(stderr, fmt, ap);
		fprintf(stderr, "\n");
	} else {
		say(c, "", fmt, ap);
	}
	va_end(ap);
	if (!c->agnhost)
		ctl_usage(c, 2);
	return c->agnhost ? 1 : 2;
}

/* ---- values ---- */

const char *ctl_nth(const struct ctl *c, const char *flag, unsigned i)
{
	for (unsigned k = 0; k < c->ngiven; k++)
		if (!strcmp(c->given[k].name, flag) && !i--)
			return c->given[k].value;
	return NULL;
}

bool ctl_given(const struct ctl *c, const char *flag) { return ctl_nth(c, flag, 0) != NULL; }

const char *ctl_text(const struct ctl *c, const char *flag)
{
	const struct ctl_flag *f = find(c, fl_str(flag));
	fl_assert(f);
	for (unsigned k = c->ngiven; k--;)
		if (!strcmp(c->given[k].name, flag))
			return c->given[k].value;
	return f->initial;
}

static bool truth(const char *text, bool *on)
{
	static const char *const yes[] = { "1", "t", "T", "true", "TRUE", "True" }, *const no[] = { "0", "f", "F", "false", "FALSE", "False" };
	for (unsigned i = 0; i < FL_COUNT(yes); i++)
		if (!strcmp(text, yes[i]) || !strcmp(text, no[i])) {
			*on = !strcmp(text, yes[i]);
			return true;
		}
	return false;
}

bool ctl_on(const struct ctl *c, const char *flag)
{
	bool on = false;
	const char *text = ctl_text(c, flag);
	return text && truth(text, &on) && on;
}

int ctl_int(const struct ctl *c, const char *flag, int64_t min, int64_t max, int64_t *to)
{
	const char *text = ctl_text(c, flag);
	int ret = text ? fl_parse_int(fl_str(text), min, max, to) : -EINVAL;
	if (ret && c->agnhost)
		return ctl_misuse(c, "invalid argument \"%s\" for \"--%s\" flag: strconv.ParseInt: parsing \"%s\": %s", text, flag, text,
				  ret == -ERANGE ? "value out of range" : "invalid syntax");
	if (ret)
		return ctl_misuse(c, "--%s takes a number of %lld to %lld, not \"%s\"", flag, (long long)min, (long long)max, text ? text : "");
	return 0;
}

static bool duration(struct fl_str text, int64_t *ns)
{
	int64_t seconds;
	if (!fl_parse_int(text, 0, INT64_MAX / 1000000000 - 1, &seconds)) {
		*ns = seconds * 1000000000;
		return true;
	}
	return !fl_duration_parse(text, ns, NULL) && *ns >= 0;
}

int ctl_time(const struct ctl *c, const char *flag, int64_t *ns)
{
	const char *text = ctl_text(c, flag);
	if (c->agnhost && !fl_duration_parse(fl_str(text), ns, NULL)) {
		*ns = *ns < 0 ? 1 : *ns;        /* over at once */
		return 0;
	}
	fl_assert(text && duration(fl_str(text), ns));          /* ctl_parse() looked, and the initial value is ours */
	return 0;
}

/* Go knows no time without unit. */
static int go_duration(const struct ctl *c, const char *flag, const char *value)
{
	struct fl_err e;
	int64_t ns;
	if (!fl_duration_parse(fl_str(value), &ns, &e))
		return -1;
	return ctl_misuse(c, "invalid argument \"%s\" for \"--%s\" flag: %s", value, flag, e.msg);
}

static bool one_of(const char *value, const char *values)
{
	struct fl_str rest = fl_str(values), v;
	while (rest.n) {
		rest = fl_str_cut(rest, '|', &v);
		if (fl_str_is(v, value))
			return true;
	}
	return false;
}

/* ---- parsing ---- */

static int take(struct ctl *c, const struct ctl_flag *f, const char *value)
{
	bool on;
	int64_t ns;
	if (!f->arg && !truth(value, &on))
		return ctl_misuse(c, "--%s is a switch: true or false, not \"%s\"", f->name, value);
	if (f->values && *f->values != '@' && !one_of(value, f->values))
		return ctl_misuse(c, "--%s takes %s, not \"%s\"", f->name, f->values, value);
	bool timed = f->values && !strcmp(f->values, "@time");
	int ret = timed && c->agnhost ? go_duration(c, f->name, value) : -1;
	if (ret >= 0)
		return ret;
	if (timed && !c->agnhost && !duration(fl_str(value), &ns))
		return ctl_misuse(c, "--%s takes a time such as 5s, not \"%s\"", f->name, value);
	if (c->ngiven == CTL_FLAGS_MAX)
		return ctl_misuse(c, "too many flags");
	c->given[c->ngiven].name = f->name;
	c->given[c->ngiven++].value = value;
	c->json |= f == &output && !strcmp(value, "json");
	return -1;
}

static int flag(struct ctl *c, int argc, char **argv, int *i)
{
	const char *word = argv[*i], *equals = strchr(word, '=');
	struct fl_str name;
	fl_str_cut(fl_str(word + (word[1] == '-' ? 2 : 1)), '=', &name);
	const struct ctl_flag *f = find(c, name);
	if (!f && c->agnhost && word[1] != '-')
		return ctl_misuse(c, "unknown shorthand flag: '%c' in %s", word[1], word);
	if (!f)
		return ctl_misuse(c, "unknown flag: --%.*s", FL_FMT(name));
	if (f == &help) {
		ctl_usage(c, 1);
		return 0;
	}
	if (!f->arg)
		return take(c, f, equals ? equals + 1 : "true");
	if (!equals && *i + 1 >= argc)
		return ctl_misuse(c, "flag needs an argument: --%s", f->name);
	return take(c, f, equals ? equals + 1 : argv[++*i]);
}

static int count(const struct ctl *c)
{
	const struct ctl_command *cmd = c->cmd;
	if (c->narg >= cmd->min && c->narg <= cmd->max)
		return -1;
	if (c->agnhost)
		return ctl_misuse(c, "accepts %s%u arg(s), received %u", cmd->min < cmd->max || !cmd->max ? "at most " : "", cmd->max, c->narg);
	if (c->narg > cmd->max)
		return ctl_misuse(c, "unexpected argument \"%s\"", c->arg[cmd->max]);
	return ctl_misuse(c, "%s is missing", cmd->args);
}

int ctl_parse(struct ctl *c, int argc, char **argv)
{
	c->arg = argv;
	if (c->cmd->raw) {
		c->narg = (unsigned)argc;
		return -1;
	}
	bool flags = true;
	for (int i = 0; i < argc; i++) {
		const char *w = argv[i];
		if (flags && !strcmp(w, "--")) {
			flags = false;
		} else if (!flags || w[0] != '-' || !w[1] || (w[1] >= '0' && w[1] <= '9')) {
			argv[c->narg++] = argv[i];
		} else {
			int ret = flag(c, argc, argv, &i);
			if (ret >= 0)
				return ret;
		}
	}
	int ret = count(c);
	argv[c->narg] = NULL;
	return ret;
}

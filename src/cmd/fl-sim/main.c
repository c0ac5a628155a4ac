/* Reads .case files, runs each in a process and a folder of its own. usage: fl-sim [--park] [--swap] FILE... */
#include "cmd/fl-sim/sim.h"
#include "conf/conf.h"
#include <errno.h>
#include <ftw.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

struct fl_str sim_word(struct fl_str *rest)
{
	*rest = fl_str_trim(*rest);
	size_t n = 0;
	bool quoted = rest->n && rest->p[0] == '"';
	if (quoted) {
		const char *end = memchr(rest->p + 1, '"', rest->n - 1);
		struct fl_str w = { rest->p + 1, end ? (size_t)(end - rest->p) - 1 : rest->n - 1 };
		*rest = end ? (struct fl_str){ end + 1, rest->n - w.n - 2 } : FL_STR("");
		return w;
	}
	while (n < rest->n && rest->p[n] != ' ' && rest->p[n] != '\t')
		n++;
	struct fl_str w = { rest->p, n };
	*rest = (struct fl_str){ rest->p + n, rest->n - n };
	return w;
}

/* The indented lines below a verb, without their common indent. *rest moves behind them. */
static struct fl_str body(struct sim *s, struct fl_str *rest)
{
	char *out = fl_alloc(&s->arena, rest->n + 1);
	size_t n = 0, indent = 0;
	while (rest->n && (rest->p[0] == ' ' || rest->p[0] == '\t')) {
		struct fl_str line;
		*rest = fl_str_cut(*rest, '\n', &line);
		s->line++;
		size_t in = strspn(line.p, " \t");
		if (!indent)
			indent = in;
		size_t cut = in < indent ? in : indent;
		memcpy(out + n, line.p + cut, line.n - cut);
		n += line.n - cut;
		out[n++] = '\n';
	}
	return (struct fl_str){ out, n };
}

static int expect_error(struct sim *s, struct fl_str want)
{
	s->checks++;
	if (!s->failed_load)
		return sim_fail(s, "the Corefile was accepted");
	bool same = memmem(s->load_err.msg, strlen(s->load_err.msg), want.p, want.n) != NULL;
	return same ? 0 : sim_fail(s, "the error is: %.400s", s->load_err.msg);
}

static int clock_move(struct sim *s, struct fl_str text)
{
	int64_t ns;
	struct fl_err e;
	if (text.n && text.p[0] == '+')
		text.p++, text.n--;
	if (fl_duration_parse(text, &ns, &e) || ns < 0)
		return sim_fail(s, "clock +DURATION");
	sim_advance(s, (uint64_t)ns);
	return 0;
}

/* Verbs that need a server that runs. */
static int running(struct sim *s, struct fl_str verb, struct fl_str args)
{
	if (fl_str_is(verb, "error"))
		return expect_error(s, args);
	if (s->failed_load)
		return sim_fail(s, "the server did not start: %.400s", s->load_err.msg);
	if (!s->started)
		return sim_fail(s, "no corefile yet");
	if (fl_str_is(verb, "ask"))
		return sim_ask(s, args);
	if (fl_str_is(verb, "clock"))
		return clock_move(s, args);
	if (fl_str_is(verb, "reload"))
		return sim_reload(s);
	if (fl_str_is(verb, "metric"))
		return sim_metric(s, args);
	if (fl_str_is(verb, "expect-log"))
		return sim_expect_log(s, args, true);
	if (fl_str_is(verb, "expect-no-log"))
		return sim_expect_log(s, args, false);
	return sim_fail(s, "unknown verb: %.*s", FL_FMT(verb));
}

/* manifests/NAME, for `kubernetes { manifests manifests }` */
static int objects(struct sim *s, struct fl_str name, struct fl_str *rest)
{
	return sim_write(s, fl_arena_printf(&s->arena, "manifests/%.*s", FL_FMT(name)), body(s, rest));
}

static int verb(struct sim *s, struct fl_str line, struct fl_str *rest)
{
	struct fl_str args = line, word = sim_word(&args);
	args = fl_str_trim(args);
	if (fl_str_is(word, "corefile"))
		return sim_start(s, body(s, rest));
	if (fl_str_is(word, "file"))
		return sim_write(s, sim_word(&args), body(s, rest));
	if (fl_str_is(word, "objects"))
		return objects(s, args.n ? args : FL_STR("objects.yaml"), rest);
	if (fl_str_is(word, "delete")) {
		char path[256];
		snprintf(path, sizeof path, "%.*s", FL_FMT(args));
		return unlink(path) ? sim_fail(s, "cannot delete %s: %s", path, strerror(errno)) : 0;
	}
	if (fl_str_is(word, "upstream"))
		return sim_upstream_rule(s, args);
	if (fl_str_is(word, "diverges") || fl_str_is(word, "skip-on"))
		return 0;                       /* for those who compare with CoreDNS */
	return running(s, word, args);
}

static int run(struct sim *s, struct fl_str text)
{
	while (text.n) {
		struct fl_str line;
		text = fl_str_cut(text, '\n', &line);
		unsigned at = ++s->line;
		if (!fl_str_trim(line).n || line.p[0] == '#')
			continue;
		if (verb(s, line, &text) || s->err.msg[0]) {
			fprintf(stderr, "%s:%u: %s\n", s->path, at, s->err.msg);
			return 1;
		}
	}
	if (s->checks)
		return 0;
	fprintf(stderr, "%s: checks nothing\n", s->path);
	return 1;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
	(void)st, (void)type, (void)at;
	return remove(path);
}

static int one_case(const char *path, bool park, bool swap)
{
	struct sim s = { .path = path, .park = park, .swap = swap };
	struct fl_str text;
	fl_arena_init(&s.arena, NULL, 0, NULL, SIZE_MAX / 2);
	if (fl_conf_read(&s.arena, path, &text))
		return fprintf(stderr, "%s: cannot be read\n", path), 1;
	snprintf(s.dir, sizeof s.dir, "/tmp/fl-sim.XXXXXX");
	if (!mkdtemp(s.dir) || chdir(s.dir))
		return fprintf(stderr, "%s: no folder: %s\n", path, strerror(errno)), 1;
	fl_clock_virtual(1000 * FL_SEC);
	s.loop = fl_loop_create();
	int ret = run(&s, text);
	sim_stop(&s);
	if (chdir("/") || nftw(s.dir, remove_one, 8, FTW_DEPTH | FTW_PHYS))
		fprintf(stderr, "%s: cannot be removed\n", s.dir);
	free(s.log);
	fl_arena_finish(&s.arena);
	return ret;
}

int main(int argc, char **argv)
{
	bool park = false, swap = false;
	int failed = 0, n = 0;
	char path[PATH_MAX];
	for (int i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "--park")) {
			park = true;
			continue;
		}
		if (!strcmp(argv[i], "--swap")) {
			swap = true;
			continue;
		}
		fflush(stdout);
		pid_t child = fork();
		if (!child)
			exit(realpath(argv[i], path) ? one_case(path, park, swap) : (perror(argv[i]), 1));
		int status = 1;
		waitpid(child, &status, 0);
		n++;
		if (status) {
			failed++;
			printf("not ok %d - %s%s\n", n, argv[i], WIFSIGNALED(status) ? " (crashed)" : "");
		} else {
			printf("ok %d - %s\n", n, argv[i]);
		}
	}
	printf("1..%d\n", n);
	return failed != 0;
}

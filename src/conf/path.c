#include "conf/conf_int.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- names ---- */

struct fl_str fl_path_join(struct fl_arena *a, struct fl_str dir, struct fl_str s)
{
	bool absolute = s.n && s.p[0] == '/';
	struct fl_str part[2] = { absolute ? FL_STR("") : dir, s };
	char *to = fl_alloc(a, part[0].n + s.n + 3);
	if (!to)
		return (struct fl_str){ 0 };
	size_t n = 0;
	for (int i = 0; i < 2; i++)
		for (struct fl_str rest = part[i], name; rest.n;) {
			rest = fl_str_cut(rest, '/', &name);
			if (!name.n || fl_str_is(name, "."))
				continue;
			if (fl_str_is(name, "..")) {
				while (n && to[--n] != '/')
					;
				continue;
			}
			to[n++] = '/';
			memcpy(to + n, name.p, name.n);
			n += name.n;
		}
	if (!n)
		to[n++] = '/';
	to[n] = 0;
	return (struct fl_str){ to, n };
}

struct fl_str fl_path_dir(struct fl_str path)
{
	const char *slash = path.n ? memrchr(path.p, '/', path.n) : NULL;
	if (!slash || slash == path.p)
		return FL_STR("/");
	return (struct fl_str){ path.p, (size_t)(slash - path.p) };
}

/* ---- reading ---- */

int fl_path_slurp(int fd, int wait_ms, struct fl_conf_buf *out)
{
	char piece[16384];
	for (;;) {
		ssize_t n = read(fd, piece, sizeof piece);
		if (n == 0)
			return 0;
		if (n > 0) {
			if (out->n + (size_t)n > FL_CONF_FILE_MAX)
				return -EFBIG;
			fl_conf_buf_add(out, piece, (size_t)n);
			continue;
		}
		if (errno == EINTR)
			continue;
		if (errno != EAGAIN)
			return -errno;
		struct pollfd pfd = { .fd = fd, .events = POLLIN };
		if (poll(&pfd, 1, wait_ms) == 0)
			return -ETIMEDOUT;
	}
}

int fl_conf_read(struct fl_arena *a, const char *path, struct fl_str *text)
{
	struct fl_conf_buf buf = { 0 };
	struct stat st;
	int fd = 0, ret = 0;
	if (!strcmp(path, "stdin") && !fstat(0, &st) && S_ISCHR(st.st_mode)) {
		*text = fl_arena_str(a, FL_STR(""));    /* CoreDNS reads a pipe or a file, never a terminal */
		return text->p ? 0 : -ENOMEM;
	}
	if (strcmp(path, "-") && strcmp(path, "stdin"))
		fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	ret = fl_path_slurp(fd, -1, &buf);
	if (!ret) {
		*text = fl_arena_str(a, (struct fl_str){ buf.p ? buf.p : "", buf.n });
		ret = text->p ? 0 : -ENOMEM;
	}
	fl_conf_buf_finish(&buf);
	if (fd > 0)
		close(fd);
	return ret;
}

/* ---- globs: * and ? stop at a slash, a backslash takes the next character as it is; names with a leading dot match too ---- */

static bool has_meta(struct fl_str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] && strchr("*?[\\", s.p[i]))
			return true;
	return false;
}

static bool well_formed(struct fl_str s)
{
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] == '[')
			return false;
		if (s.p[i] == '\\' && (++i == s.n || s.p[i] == '/'))
			return false;
	}
	return true;
}

/* With a single * there is one place to come back to. */
static bool match(struct fl_str pat, struct fl_str s)
{
	const char *p = pat.p, *pend = p + pat.n, *c = s.p, *end = c + s.n, *star = NULL, *from = NULL;
	while (c < end || p < pend) {
		uint32_t r;
		if (p < pend && *p == '*') {
			star = ++p;
			from = c;
			continue;
		}
		if (p < pend && c < end && *p == '?') {
			p++;
			c += fl_conf_rune(c, end, &r);
			continue;
		}
		bool escaped = p < pend && *p == '\\';
		if (p + escaped < pend && c < end && p[escaped] == *c) {
			p += escaped + 1;
			c++;
			continue;
		}
		if (!star || from == end)
			return false;
		c = ++from;
		p = star;
	}
	return true;
}

struct list { struct fl_str *p; unsigned n, cap; };

static bool list_add(struct fl_arena *a, struct list *l, struct fl_str s)
{
	struct fl_str *p = fl_conf_grow(a, l->p, l->n, &l->cap, sizeof *p);
	if (!p || !s.p)
		return false;
	l->p = p;
	p[l->n++] = s;
	return true;
}

static int by_bytes(const void *a, const void *b) { return strcmp(((const struct fl_str *)a)->p, ((const struct fl_str *)b)->p); }

/* Adds what matches in one folder, sorted; what is no folder has nothing. */
static int glob_folder(struct fl_arena *a, struct fl_str dir, struct fl_str pat, struct list *out)
{
	DIR *d = opendir(dir.p);
	if (!d)
		return 0;
	unsigned first = out->n;
	int ret = 0;
	for (struct dirent *e; !ret && (e = readdir(d));) {
		struct fl_str name = fl_str(e->d_name);
		if (fl_str_is(name, ".") || fl_str_is(name, "..") || !match(pat, name))
			continue;
		if (!list_add(a, out, fl_path_join(a, dir, name)))
			ret = -ENOMEM;
	}
	closedir(d);
	if (out->n > first)
		qsort(out->p + first, out->n - first, sizeof *out->p, by_bytes);
	return ret;
}

static int one_file(struct fl_arena *a, struct fl_str path, struct list *out)
{
	struct stat st;
	struct fl_str z = fl_arena_str(a, path);
	if (!z.p)
		return -ENOMEM;
	if (memchr(z.p, 0, z.n) || lstat(z.p, &st))
		return 0;
	return list_add(a, out, z) ? 0 : -ENOMEM;
}

int fl_path_glob(struct fl_arena *a, struct fl_str pattern, struct fl_str **out, unsigned *nout)
{
	struct list found = { 0 };
	int ret = 0;
	*out = NULL;
	*nout = 0;
	if (!well_formed(pattern))
		return -EINVAL;
	if (!has_meta(pattern)) {
		ret = one_file(a, pattern, &found);
	} else if (!memchr(pattern.p, 0, pattern.n)) {
		/* The folders before the first wildcard are taken as they stand, those after it are looked for name by name. */
		struct fl_str rest = pattern, name;
		size_t plain = 0;
		for (; rest.n; plain = (size_t)(rest.p - pattern.p)) {
			struct fl_str after = fl_str_cut(rest, '/', &name);
			if (has_meta(name))
				break;
			rest = after;
		}
		struct fl_str start = fl_arena_str(a, (struct fl_str){ pattern.p, plain > 1 ? plain - 1 : plain });
		if (!list_add(a, &found, start))
			ret = -ENOMEM;
		while (rest.n && !ret) {
			struct list next = { 0 };
			bool more = memchr(rest.p, '/', rest.n);
			rest = fl_str_cut(rest, '/', &name);
			for (unsigned i = 0; i < found.n && !ret; i++)
				ret = glob_folder(a, found.p[i], name, &next);
			found = next;
			if (more && !rest.n)    /* "dir*" and a slash: nothing is called "" */
				found.n = 0;
		}
	}
	*out = found.p;
	*nout = found.n;
	return ret;
}

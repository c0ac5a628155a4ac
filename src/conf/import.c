#include "conf/conf_int.h"
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- what was read, for a watcher ---- */

static bool add_source(struct fl_parser *p, struct fl_str path, bool glob)
{
	struct fl_conf *c = p->c;
	void **known = fl_conf_map_at(&p->sources, path);
	if (*known)
		return true;
	*known = c;
	struct fl_conf_source *s = fl_conf_grow(&c->arena, c->source, c->nsource, &p->cap_source, sizeof *s);
	if (!s)
		return false;
	c->source = s;
	s[c->nsource++] = (struct fl_conf_source){ path, glob };
	return true;
}

static bool warn(struct fl_parser *p, struct fl_str pattern)
{
	struct fl_conf *c = p->c;
	struct fl_str *w = fl_conf_grow(&c->arena, c->warning, c->nwarning, &p->cap_warning, sizeof *w);
	if (!w)
		return false;
	c->warning = w;
	w[c->nwarning] = fl_arena_printf(&c->arena, "No files matching import glob pattern: %.*s", FL_FMT(pattern));
	return w[c->nwarning++].p;
}

/* ---- one file ---- */

/* Go's words for an errno: the C library's with a small first letter. */
static int os_err(struct fl_parser *p, const char *what, struct fl_str path, const char *op, int err)
{
	const char *words = strerror(err);
	return fl_parser_err(p, "%s %.*s: %s %.*s: %c%s", what, FL_FMT(path), op, FL_FMT(path), (char)fl_lower((uint8_t)words[0]),
			     words + 1);
}

/* wait: a pipe that nobody writes to must not stop the server at a reload. */
static int read_file(struct fl_parser *p, struct fl_str path, struct fl_conf_buf *text)
{
	enum { WAIT_MS = 2000 };
	struct stat st;
	int fd = open(path.p, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return os_err(p, "Could not import", path, "open", errno);
	int ret;
	if (!fstat(fd, &st) && S_ISDIR(st.st_mode))
		ret = fl_parser_err(p, "Could not import %.*s: is a directory", FL_FMT(path));
	else if ((ret = fl_path_slurp(fd, WAIT_MS, text)))
		ret = os_err(p, "Could not read tokens while importing", path, "read", -ret);
	close(fd);
	return ret;
}

/* The tokens of a file; read once a parse. */
static int load_file(struct fl_parser *p, struct fl_str path, struct fl_snippet **out)
{
	struct fl_arena *a = &p->c->arena;
	if ((*out = fl_conf_map_get(&p->files, path)))
		return 0;
	struct fl_str file = fl_path_join(a, FL_STR("/"), path);
	*out = fl_zalloc(a, sizeof **out);
	if (!file.p || !*out || !add_source(p, file, false))
		return fl_parser_too_large(p);
	struct fl_conf_buf text = { 0 };
	int ret = read_file(p, path, &text);
	if (!ret)
		ret = fl_parser_lex(p, (struct fl_str){ text.p ? text.p : "", text.n }, file, *out);
	fl_conf_buf_finish(&text);
	if (!ret)
		*fl_conf_map_at(&p->files, path) = *out;
	return ret;
}

static int insert(struct fl_parser *p, struct fl_node *before, const struct fl_snippet *s)
{
	int ret = 0;
	for (unsigned i = 0; i < s->ntok && !ret; i++)
		ret = fl_parser_insert(p, before, &s->tok[i]);
	return ret;
}

/* ---- a pattern ---- */

static unsigned count(struct fl_str s, char c)
{
	unsigned n = 0;
	for (size_t i = 0; i < s.n; i++)
		n += s.p[i] == c;
	return n;
}

/* Finds the files; *glob: the pattern as an absolute path. */
static int find_files(struct fl_parser *p, struct fl_str pattern, struct fl_str **path, unsigned *n)
{
	struct fl_arena *a = &p->c->arena;
	struct fl_str from = p->at->t.file, dir = from.n ? fl_path_dir(from) : fl_str(p->base);
	struct fl_str full = pattern.p[0] == '/' ? pattern : fl_path_join(a, dir, pattern);
	if (!full.p)
		return fl_parser_too_large(p);
	bool bracket = count(full, '[') && count(full, ']'), wild = count(full, '*') || count(full, '?');
	if (count(full, '*') > 1 || count(full, '?') > 1 || bracket)
		return fl_parser_err(p, "Glob pattern may only contain one wildcard (*), but has others: %.*s", FL_FMT(full));
	int ret = fl_path_glob(a, full, path, n);
	if (ret == -EINVAL)
		return fl_parser_err(p, "Failed to use import pattern %.*s: syntax error in pattern", FL_FMT(pattern));
	struct fl_str source = fl_path_join(a, FL_STR("/"), full);
	if (ret || !source.p || ((wild || !*n) && !add_source(p, source, wild)))
		return fl_parser_too_large(p);
	if (*n)
		return 0;
	if (!wild && !count(full, '[') && !count(full, ']'))
		return fl_parser_err(p, "File to import not found: %.*s", FL_FMT(pattern));
	return warn(p, pattern) ? 0 : fl_parser_too_large(p);
}

static int insert_files(struct fl_parser *p, struct fl_str pattern, struct fl_node *before)
{
	struct fl_str *path;
	unsigned n;
	if (p->files_used++ >= FL_CONF_FILES_MAX)       /* CoreDNS names the other limit here */
		return fl_parser_err(p, "maximum file import depth (%d) exceeded", FL_CONF_SNIPPETS_MAX);
	int ret = find_files(p, pattern, &path, &n);
	for (unsigned i = 0; i < n && !ret; i++) {
		struct fl_snippet *file;
		ret = load_file(p, path[i], &file);
		if (!ret)
			ret = insert(p, before, file);
	}
	return ret;
}

int fl_parser_import(struct fl_parser *p)
{
	struct fl_node *word = p->at;
	if (!fl_parser_next_arg(p))
		return fl_parser_err(p, "Wrong argument count or unexpected line ending after '%.*s'", FL_FMT(word->t.text));
	struct fl_str pattern;
	int ret = fl_parser_env(p, p->at->t.text, &pattern);
	if (ret)
		return ret;
	if (!pattern.n)
		return fl_parser_err(p, "Import requires a non-empty filepath");
	if (fl_parser_next_arg(p))
		return fl_parser_err(p, "Import takes only one argument (glob pattern or file)");
	struct fl_node *after = p->at->next;
	struct fl_snippet *snippet = fl_conf_map_get(&p->snippets, pattern);
	if (snippet && p->snippets_used++ >= FL_CONF_SNIPPETS_MAX)
		return fl_parser_err(p, "maximum snippet import depth (%d) exceeded", FL_CONF_SNIPPETS_MAX);
	ret = snippet ? insert(p, after, snippet) : insert_files(p, pattern, after);
	if (ret)
		return ret;
	struct fl_node *before = word->prev;
	after = p->at->next;
	before->next = after;
	after->prev = before;
	p->at = after;
	return 0;
}

/* What goes in and out: files, YAML and JSON documents, JSON on standard output. */
#include "cmd/fairctl/ctl.h"
#include "kube/yaml.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { FILE_MAX = 64 << 20, DEPTH_MAX = 8 };

/* Go's words for what is no errno of open(). */
static const char *words(int err)
{
	switch (err) {
	case ENOENT: return "no such file or directory";
	case EACCES: return "permission denied";
	case EISDIR: return "is a directory";
	case EFBIG: return "more than 64 MiB";
	}
	return strerror(err);
}

int ctl_read(const struct ctl *c, const char *path, struct fl_str *text)
{
	bool in = !strcmp(path, "-");
	int fd = in ? 0 : open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return ctl_fail(c, "open %s: %s", path, words(errno));
	char *buf = NULL;
	size_t n = 0, cap = 0;
	ssize_t got = 1;
	while (got > 0 && n <= FILE_MAX) {
		if (n == cap)
			buf = fl_xrealloc(buf, cap = cap ? 2 * cap : 16384);
		got = read(fd, buf + n, cap - n);
		n += got > 0 ? (size_t)got : 0;
	}
	int err = got < 0 ? errno : n > FILE_MAX ? EFBIG : 0;
	if (!in)
		close(fd);
	if (err) {
		free(buf);
		return ctl_fail(c, "read %s: %s", in ? "standard input" : path, words(err));
	}
	*text = (struct fl_str){ buf, n };
	return 0;
}

struct fl_str ctl_keep(struct fl_arena *a, struct fl_str text)
{
	struct fl_str copy = fl_arena_str(a, text);
	free((char *)(uintptr_t)text.p);
	return copy;
}

/* ---- documents ---- */

struct documents { int (*fn)(void *arg, const cJSON *tree, int line); void *arg; };

static int unroll(struct documents *d, const cJSON *tree, int line, int depth)
{
	const cJSON *kind = cJSON_GetObjectItemCaseSensitive(tree, "kind"), *items = cJSON_GetObjectItemCaseSensitive(tree, "items"), *v;
	if (!cJSON_IsString(kind) || !fl_str_ends(fl_str(kind->valuestring), FL_STR("List")) || !cJSON_IsArray(items) || depth == DEPTH_MAX)
		return d->fn(d->arg, tree, line);
	int ret = 0;
	cJSON_ArrayForEach(v, items)
		if ((ret = unroll(d, v, line, depth + 1)))
			break;
	return ret;
}

static int on_tree(void *arg, cJSON *tree, int line, bool item)
{
	(void)item;
	return unroll(arg, tree, line, 0);
}

static bool looks_like_json(struct fl_str text)
{
	text = fl_str_trim(text);
	if (!text.n || *text.p != '{')
		return false;
	text = fl_str_trim((struct fl_str){ text.p + 1, text.n - 1 });
	return text.n && (*text.p == '"' || *text.p == '}');
}

/* "yaml: line 3: words" → "PATH:3: yaml: words". */
static int malformed(const struct ctl *c, const char *path, const char *msg)
{
	int line = 0, at = 0;
	if (strlen(msg) > 5 && sscanf(msg + 5, " line %d: %n", &line, &at) == 1 && at)
		return ctl_fail(c, "%s:%d: %.4s: %s", path, line, msg, msg + 5 + at);
	return ctl_fail(c, "%s:1: %s", path, msg);
}

int ctl_documents_of(const struct ctl *c, const char *path, struct fl_str text, int (*fn)(void *arg, const cJSON *tree, int line), void *arg)
{
	struct fl_err e = { "" };
	struct documents d = { fn, arg };
	int ret = (looks_like_json(text) ? fl_json_read : fl_yaml_read)(text, on_tree, &d, &e);
	return e.msg[0] ? malformed(c, path, e.msg) : ret;
}

int ctl_documents(const struct ctl *c, const char *path, int (*fn)(void *arg, const cJSON *tree, int line), void *arg)
{
	struct fl_str text;
	if (ctl_read(c, path, &text))
		return 1;
	int ret = ctl_documents_of(c, path, text, fn, arg);
	free((char *)(uintptr_t)text.p);
	return ret;
}

/* ---- JSON ---- */

static size_t utf8(const uint8_t *p, size_t n)
{
	size_t len = p[0] < 0x80 ? 1 : p[0] >= 0xc2 && p[0] < 0xe0 ? 2 : (p[0] & 0xf0) == 0xe0 ? 3 : p[0] >= 0xf0 && p[0] < 0xf5 ? 4 : 0;
	if (!len || len > n)
		return 0;
	for (size_t i = 1; i < len; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	bool odd = (p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) || (p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] > 0x8f);
	return odd ? 0 : len;
}

cJSON *ctl_json_str(struct fl_str s)
{
	char *to = fl_xalloc(3 * s.n + 1), *end = to;
	for (size_t i = 0; i < s.n;) {
		size_t len = utf8((const uint8_t *)s.p + i, s.n - i);
		if (!len || !s.p[i])
			end = fl_put_bytes(end, "\xef\xbf\xbd", 3);
		else
			end = fl_put_bytes(end, s.p + i, len);
		i += len ? len : 1;
	}
	*end = 0;
	cJSON *json = cJSON_CreateString(to);
	free(to);
	return json;
}

int ctl_print(const struct ctl *c, cJSON *tree)
{
	char *text = tree ? cJSON_Print(tree) : NULL;
	cJSON_Delete(tree);
	if (!text)
		return ctl_fail(c, "out of memory");
	puts(text);
	cJSON_free(text);
	return 0;
}

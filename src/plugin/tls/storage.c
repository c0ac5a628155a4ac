#include "plugin/tls/storage.h"
#include "base/file.h"
#include "base/mem.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FILE_MAX = 1 << 20 };

/* ---- names (certmagic's storage.go KeyBuilder, account.go, acmeissuer.go issuerKey) ---- */

struct text { char *p; size_t n; };

static void put(struct text *t, const char *p, size_t n)
{
	t->p = fl_xrealloc(t->p, t->n + n + 1);
	t->n = (size_t)(fl_put_bytes(t->p + t->n, p, n) - t->p);
	t->p[t->n] = 0;
}

/* One part of a path, made harmless: lower case, some signs spelled out, no "..", what is no word left out. */
static void put_safe(struct text *t, struct fl_str s)
{
	s = fl_str_trim(s);
	for (size_t i = 0; i < s.n; i++) {
		char c = (char)fl_lower((uint8_t)s.p[i]);
		const char *word = c == ' ' ? "_" : c == '+' ? "_plus_" : c == '*' ? "wildcard_" : c == ':' ? "-" : NULL;
		if (word)
			put(t, word, strlen(word));
		else if (c == '.' && i + 1 < s.n && s.p[i + 1] == '.')
			i++;
		else if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '@' || c == '.' || c == '-')
			put(t, &c, 1);
	}
}

/* "https://ca.example:14000/dir/x" → "ca.example-14000-dir-x" */
static void put_ca(struct text *t, const char *url)
{
	const char *at = strstr(url, "://");
	struct fl_str rest = fl_str(at ? at + 3 : url), host, path;
	fl_str_cut(rest, '?', &rest);
	fl_str_cut(rest, '#', &rest);
	path = fl_str_cut(rest, '/', &host);
	while (path.n && (path.p[0] == '/' || path.p[0] == '-'))
		path.p++, path.n--;
	while (path.n && (path.p[path.n - 1] == '/' || path.p[path.n - 1] == '-'))
		path.n--;
	char *both = fl_xalloc(host.n + path.n + 2), *p = fl_put_bytes(both, host.p, host.n);
	if (path.n)
		*p++ = '-';
	for (size_t i = 0; i < path.n; i++)
		*p++ = path.p[i] == '/' || path.p[i] == '\\' ? '-' : path.p[i];
	put_safe(t, fl_str(both));
	free(both);
}

static struct fl_str user(struct fl_str email)
{
	struct fl_str head;
	if (email.n && email.p[0] == '@')
		return (struct fl_str){ email.p + 1, email.n - 1 };
	fl_str_cut(email, '@', &head);
	return head;
}

char *fl_acme_path(const struct fl_acme_storage *s, enum fl_acme_file f, const char *name)
{
	static const char *const ends[] = { ".json", ".key", ".crt", ".key", ".json" };
	bool account = f <= FL_ACME_ACCOUNT_KEY;
	struct fl_str who = fl_str(!account ? name : *s->email ? s->email : "default");
	struct text t = { 0 };
	put(&t, s->folder, strlen(s->folder));
	put(&t, account ? "/acme/" : "/certificates/", account ? 6 : 14);
	put_ca(&t, s->ca);
	put(&t, account ? "/users/" : "/", account ? 7 : 1);
	put_safe(&t, who);
	put(&t, "/", 1);
	size_t before = t.n;
	put_safe(&t, account ? user(who) : who);
	if (t.n == before)
		put(&t, f == FL_ACME_ACCOUNT ? "registration" : "private", f == FL_ACME_ACCOUNT ? 12 : 7);
	put(&t, ends[f], strlen(ends[f]));
	return t.p;
}

/* ---- files ---- */

int fl_acme_read(const struct fl_acme_storage *s, enum fl_acme_file f, const char *name, char **text, struct fl_err *e)
{
	char *path = fl_acme_path(s, f, name);
	size_t n;
	int ret = fl_file_read(path, FILE_MAX, text, &n, e);
	free(path);
	return ret;
}

/* Every folder on the way to path. */
static int folders(char *path)
{
	for (char *p = path + 1; (p = strchr(p, '/')); p++) {
		*p = 0;
		int ret = mkdir(path, 0700) && errno != EEXIST ? -errno : 0;
		*p = '/';
		if (ret)
			return ret;
	}
	return 0;
}

/* A new file, for nobody else to read; its name ends in XXXXXX, which are filled in. */
static int write_all(char *path, const char *text)
{
	int fd = mkostemp(path, O_CLOEXEC), ret = fd < 0 ? -errno : fl_file_put(fd, text, strlen(text));
	if (fd < 0)
		return ret;
	if (!ret && fsync(fd))
		ret = -errno;
	if (close(fd) && !ret)
		ret = -errno;
	if (ret)
		unlink(path);
	return ret;
}

int fl_acme_write(const struct fl_acme_storage *s, enum fl_acme_file f, const char *name, const char *text, struct fl_err *e)
{
	char *path = fl_acme_path(s, f, name);
	size_t n = strlen(path) + 8;
	char *aside = fl_xalloc(n);
	snprintf(aside, n, "%s.XXXXXX", path);          /* another process may write the same file */
	int ret = folders(path);
	if (!ret)
		ret = write_all(aside, text);
	if (!ret && rename(aside, path)) {
		ret = -errno;
		unlink(aside);
	}
	if (ret)
		fl_err_set(e, "writing %s: %s", path, strerror(-ret));
	free(aside);
	free(path);
	return ret;
}

void fl_acme_remove(const struct fl_acme_storage *s, enum fl_acme_file f, const char *name)
{
	char *path = fl_acme_path(s, f, name);
	unlink(path);
	free(path);
}

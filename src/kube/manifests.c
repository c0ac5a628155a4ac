/* A folder of manifests as a cluster: its files, what changes in it, and the source that this is. */
#include "kube/manifests_int.h"
#include "base/log.h"
#include "kube/decode.h"
#include "net/watch.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { FILE_MAX = 256 << 20, BIG = 1 << 20 };
#define WHO "plugin/kubernetes"
#define SETTLE_NS (50 * FL_MS)

/* ---- a file ---- */

void fl_manifest_word(struct fl_manifest_words *w, struct fl_str s)
{
	if (w->n + s.n + 1 > w->cap) {
		w->cap = 2 * (w->n + s.n + 1);
		w->p = fl_xrealloc(w->p, w->cap);
	}
	if (s.n)
		memcpy(w->p + w->n, s.p, s.n);
	w->n += s.n;
	w->p[w->n++] = 0;
}

static void drop_objects(struct fl_manifest_file *f)
{
	free(f->object);
	free(f->words.p);
	free(f->texts.p);
	f->object = NULL;
	f->words = f->texts = (struct fl_manifest_words){ 0 };
	f->n = f->cap = 0;
}

static int on_object(void *arg, const struct fl_manifest_object *in)
{
	struct fl_manifest_file *f = arg;
	if (f->n == f->cap) {
		f->cap = f->cap ? 2 * f->cap : 4;
		f->object = fl_xrealloc(f->object, f->cap * sizeof *f->object);
	}
	f->object[f->n++] = (struct fl_manifest){ .line = in->line, .kind = in->store_kind, .selects = in->selects };
	fl_manifest_word(&f->words, in->ns);
	fl_manifest_word(&f->words, in->name);
	fl_manifest_word(&f->words, in->service);
	fl_manifest_word(&f->texts, (struct fl_str){ in->json, in->n });
	return 0;
}

static const char *word(const char **p)
{
	const char *w = *p;
	*p += strlen(w) + 1;
	return w;
}

/* All is read: the words stand still now. */
static void set_words(struct fl_manifest_file *f)
{
	if (!f->n)
		return;
	f->object = fl_xrealloc(f->object, f->n * sizeof *f->object);
	f->cap = f->n;
	f->words.p = fl_xrealloc(f->words.p, f->words.n);
	const char *w = f->words.p, *t = f->texts.p;
	for (unsigned i = 0; i < f->n; i++) {
		f->object[i].ns = word(&w);
		f->object[i].name = word(&w);
		f->object[i].service = word(&w);
		f->object[i].json = word(&t);
	}
	f->fresh = true;
}

static int slurp(const char *path, char **text, size_t *n)
{
	struct stat st;
	int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC), ret = fd < 0 ? -errno : 0;
	if (!ret && fstat(fd, &st))
		ret = -errno;
	if (!ret && (!S_ISREG(st.st_mode) || st.st_size > FILE_MAX))
		ret = S_ISREG(st.st_mode) ? -EFBIG : -EINVAL;
	*n = 0;
	*text = ret ? NULL : fl_xalloc((size_t)st.st_size + 1);
	while (!ret && *n < (size_t)st.st_size) {
		ssize_t k = read(fd, *text + *n, (size_t)st.st_size - *n);
		if (k <= 0) {
			ret = k < 0 ? -errno : 0;
			break;
		}
		*n += (size_t)k;
	}
	if (fd >= 0)
		close(fd);
	return ret;
}

void fl_manifests_read_file(struct fl_manifests *m, struct fl_manifest_file *f)
{
	struct fl_err e = { "" };
	struct fl_manifest_file fresh = { 0 };
	char *text, path[PATH_MAX];
	size_t n;
	snprintf(path, sizeof path, "%s/%s", m->dir, f->name);
	int ret = slurp(path, &text, &n);
	if (ret)
		fl_err_set(&e, "%s", strerror(-ret));
	else
		ret = fl_manifest_read((struct fl_str){ text, n }, on_object, &fresh, &fresh.skipped, &e);
	free(text);
	f->again = false;
	f->broken = ret != 0;
	m->bytes_read += n;
	if (ret) {
		if (f->named_ns != f->ctime_ns)
			fl_log(FL_ERROR, WHO, "manifest %s: %s; %s", path, e.msg,
			       f->n ? "what it said before stays" : "it is left out");
		f->named_ns = f->ctime_ns;
		fl_store_source(m->store)->errors++;
		drop_objects(&fresh);
		return;
	}
	drop_objects(f);
	f->object = fresh.object;
	f->words = fresh.words;
	f->texts = fresh.texts;
	f->n = fresh.n;
	f->cap = fresh.cap;
	f->skipped = fresh.skipped;
	set_words(f);
}

/* ---- the folder ---- */

static bool manifest_name(const char *name)
{
	struct fl_str s = fl_str(name);
	return name[0] != '.' &&
	       (fl_str_ends(s, FL_STR(".yaml")) || fl_str_ends(s, FL_STR(".yml")) || fl_str_ends(s, FL_STR(".json")));
}

static void file_free(struct fl_manifest_file *f)
{
	drop_objects(f);
	free(f->name);
	free(f);
}

/* The clock of files, which moves in steps: what was written in this step may be written again in it. */
static bool just_now(uint64_t ctime_ns)
{
	struct timespec t;
	clock_gettime(CLOCK_REALTIME_COARSE, &t);
	return ctime_ns + 20 * FL_MS > (uint64_t)t.tv_sec * FL_SEC + (uint64_t)t.tv_nsec;
}

/* True: it was read, since it is new or changed. By ctime, which no copy sets back, and which a change of rights moves too. */
static bool file_look(struct fl_manifests *m, struct fl_manifest_file *f, const struct stat *st)
{
	uint64_t ctime_ns = (uint64_t)st->st_ctim.tv_sec * FL_SEC + (uint64_t)st->st_ctim.tv_nsec;
	if (!f->again && !f->unsure && f->dev == st->st_dev && f->ino == st->st_ino && f->size == (uint64_t)st->st_size &&
	    f->ctime_ns == ctime_ns)
		return false;
	f->dev = st->st_dev;
	f->ino = st->st_ino;
	f->size = (uint64_t)st->st_size;
	f->ctime_ns = ctime_ns;
	f->unsure = just_now(ctime_ns);
	fl_manifests_read_file(m, f);
	return true;
}

static int by_name(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

/* The names of manifests in a folder, sorted; -errno. */
static int names(const char *dir, char ***name, unsigned *n)
{
	DIR *d = opendir(dir);
	unsigned cap = 0;
	*name = NULL;
	*n = 0;
	if (!d)
		return -errno;
	for (struct dirent *e; (e = readdir(d));) {
		if (!manifest_name(e->d_name))
			continue;
		if (*n == cap) {
			cap = cap ? 2 * cap : 16;
			*name = fl_xrealloc(*name, cap * sizeof **name);
		}
		(*name)[(*n)++] = fl_xstrndup(e->d_name, strlen(e->d_name));
	}
	closedir(d);
	if (*n)
		qsort(*name, *n, sizeof **name, by_name);
	return 0;
}

/* Files before `name` in the list are gone. (NULL: all that are left.) */
static bool drop_until(struct fl_manifest_file **p, const char *name)
{
	bool any = false;
	for (struct fl_manifest_file *f; (f = *p) && (!name || strcmp(f->name, name) < 0); any = true) {
		*p = f->next;
		file_free(f);
	}
	return any;
}

/* 1: something is different; 0: nothing; -errno: the folder cannot be read, what is known stays. */
static int folder_look(struct fl_manifests *m)
{
	char **name, path[PATH_MAX];
	unsigned n;
	int any = names(m->dir, &name, &n);
	if (any)
		return any;
	struct fl_manifest_file **p = &m->file;
	for (unsigned i = 0; i < n; i++) {
		struct stat st;
		snprintf(path, sizeof path, "%s/%s", m->dir, name[i]);
		if (!stat(path, &st) && S_ISREG(st.st_mode)) {          /* else a link to nowhere, a folder */
			any |= drop_until(p, name[i]);
			struct fl_manifest_file *f = *p;
			if (!f || strcmp(f->name, name[i])) {
				f = fl_xalloc(sizeof *f);
				*f = (struct fl_manifest_file){ .name = name[i], .next = *p, .unsure = true };
				name[i] = NULL;
				*p = f;
			}
			any |= file_look(m, *p, &st);
			p = &(*p)->next;
		}
		free(name[i]);
	}
	any |= drop_until(p, NULL);
	free(name);
	return any;
}

static void said(const struct fl_manifests *m)
{
	unsigned objects = 0, files = 0, skipped = 0;
	for (const struct fl_manifest_file *f = m->file; f; f = f->next) {
		objects += f->n;
		skipped += f->skipped;
		files++;
	}
	fl_log(FL_INFO, WHO, "manifests %s: %u objects in %u files, %u of other kinds", m->dir, objects, files, skipped);
}

static void look(void *arg)
{
	struct fl_manifests *m = arg;
	struct fl_source_state *st = fl_store_source(m->store);
	m->bytes_read = 0;
	int ret = folder_look(m);
	st->connected = ret >= 0;
	if (ret < 0) {
		if (m->complaint != ret)
			fl_log(FL_ERROR, WHO, "manifests %s: %s%s", m->dir, strerror(-ret),
			       m->loaded ? "; what it said before stays" : "");
		m->complaint = ret;
		st->errors++;
		return;
	}
	m->complaint = 0;
	if (!ret && m->loaded)
		return;
	fl_manifests_put(m);
	m->loaded = true;
	st->last_event_ns = fl_clock_ns();
	st->events++;
	said(m);
	if (m->bytes_read > BIG)
		malloc_trim(0);                 /* what reading took is not needed to serve */
}

static void on_timer(struct fl_timer *t)
{
	struct fl_manifests *m = (struct fl_manifests *)((char *)t - offsetof(struct fl_manifests, timer));
	look(m);
}

/* ---- the source ---- */

static void destroy(struct fl_source *s)
{
	struct fl_manifests *m = (struct fl_manifests *)s;
	fl_watch_del(m->watch);
	fl_timer_clear(m->loop, &m->timer);
	while (m->file) {
		struct fl_manifest_file *f = m->file;
		m->file = f->next;
		file_free(f);
	}
	fl_selector_free(m->labels);
	fl_selector_free(m->namespace_labels);
	free(m->warned);
	free(m->dir);
	free(m);
}

static void relist(struct fl_source *s)
{
	struct fl_manifests *m = (struct fl_manifests *)s;
	for (struct fl_manifest_file *f = m->file; f; f = f->next)
		f->again = true;
	fl_store_source(m->store)->relists++;
	look(m);
}

static int check(struct fl_manifests *m, const struct fl_source_config *cfg, struct fl_err *e)
{
	DIR *d = opendir(m->dir);
	if (!d)
		return fl_err_set(e, "manifests %s: %s", m->dir, strerror(errno));
	closedir(d);
	if (cfg->labels.n && !(m->labels = fl_selector_parse(cfg->labels, e)))
		return -EINVAL;
	if (cfg->namespace_labels.n && !(m->namespace_labels = fl_selector_parse(cfg->namespace_labels, e)))
		return -EINVAL;
	return 0;
}

struct fl_source *fl_source_manifests_create(struct fl_store *store, struct fl_loop *loop, const struct fl_source_config *cfg,
					     struct fl_err *e)
{
	static const struct fl_source_ops ops = { .destroy = destroy, .relist = relist };
	struct fl_manifests *m = fl_xalloc(sizeof *m);
	*m = (struct fl_manifests){ .base = { &ops }, .store = store, .loop = loop, .timer = { .fn = on_timer },
				    .dir = fl_xstrndup(cfg->manifests.p, cfg->manifests.n) };
	if (check(m, cfg, e)) {
		destroy(&m->base);
		return NULL;
	}
	m->watch = fl_watch_add(loop, m->dir, SETTLE_NS, look, m);
	fl_timer_set(loop, &m->timer, fl_loop_tick(loop));      /* on the loop, as every other change */
	return &m->base;
}

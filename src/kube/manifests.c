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
#define POLL_NS (2 * FL_SEC)

/* ---- a file ---- */

static void drop_objects(struct fl_manifest_file *f)
{
	for (unsigned i = 0; i < f->n; i++) {
		free(f->object[i].ns);
		free(f->object[i].json);
	}
	free(f->object);
	f->object = NULL;
	f->n = f->cap = 0;
}

static char *put_word(char **at, struct fl_str s)
{
	char *to = *at;
	if (s.n)
		memcpy(to, s.p, s.n);
	*at += s.n + 1;
	return to;
}

static int on_object(void *arg, const struct fl_manifest_object *in)
{
	struct fl_manifest_file *f = arg;
	if (f->n == f->cap) {
		f->cap = f->cap ? 2 * f->cap : 16;
		f->object = fl_xrealloc(f->object, f->cap * sizeof *f->object);
	}
	struct fl_manifest *o = &f->object[f->n++];
	char *words = fl_xalloc(in->ns.n + in->name.n + in->service.n + 3);
	*o = (struct fl_manifest){ .line = in->line, .kind = in->store_kind, .selects = in->selects };
	o->ns = put_word(&words, in->ns);
	o->name = put_word(&words, in->name);
	o->service = put_word(&words, in->service);
	o->json = fl_xstrndup(in->json, in->n);
	return 0;
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
			fl_log(FL_ERROR, WHO, "manifest %s: %s; %s", path, e.msg, f->n ? "what it said before stays" : "it is left out");
		f->named_ns = f->ctime_ns;
		fl_store_source(m->store)->errors++;
		drop_objects(&fresh);
		return;
	}
	drop_objects(f);
	f->object = fresh.object;
	f->n = fresh.n;
	f->cap = fresh.cap;
	f->skipped = fresh.skipped;
}

/* ---- the folder ---- */

static bool manifest_name(const char *name)
{
	struct fl_str s = fl_str(name);
	return name[0] != '.' && (fl_str_ends(s, FL_STR(".yaml")) || fl_str_ends(s, FL_STR(".yml")) || fl_str_ends(s, FL_STR(".json")));
}

static struct fl_manifest_file *file_get(struct fl_manifests *m, const char *name)
{
	struct fl_manifest_file **p = &m->file;
	while (*p && strcmp((*p)->name, name) < 0)
		p = &(*p)->next;
	if (*p && !strcmp((*p)->name, name))
		return *p;
	struct fl_manifest_file *f = fl_xalloc(sizeof *f);
	*f = (struct fl_manifest_file){ .name = fl_xstrndup(name, strlen(name)), .next = *p };
	return *p = f;
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
static bool file_look(struct fl_manifests *m, const char *name)
{
	char path[PATH_MAX];
	struct stat st;
	snprintf(path, sizeof path, "%s/%s", m->dir, name);
	if (stat(path, &st) || !S_ISREG(st.st_mode))
		return false;                   /* a link to nowhere, a folder */
	struct fl_manifest_file *f = file_get(m, name);
	uint64_t ctime_ns = (uint64_t)st.st_ctim.tv_sec * FL_SEC + (uint64_t)st.st_ctim.tv_nsec;
	f->seen = true;
	if (!f->again && !f->unsure && f->dev == st.st_dev && f->ino == st.st_ino && f->size == (uint64_t)st.st_size && f->ctime_ns == ctime_ns)
		return false;
	f->dev = st.st_dev;
	f->ino = st.st_ino;
	f->size = (uint64_t)st.st_size;
	f->ctime_ns = ctime_ns;
	f->unsure = just_now(ctime_ns);
	fl_manifests_read_file(m, f);
	return true;
}

/* Files that are gone. */
static bool sweep(struct fl_manifests *m)
{
	bool any = false;
	for (struct fl_manifest_file **p = &m->file, *f; (f = *p);) {
		if (f->seen) {
			p = &f->next;
			continue;
		}
		any = true;
		*p = f->next;
		file_free(f);
	}
	return any;
}

/* 1: something is different; 0: nothing; -errno: the folder cannot be read, what is known stays. */
static int folder_look(struct fl_manifests *m)
{
	DIR *d = opendir(m->dir);
	int any = 0;
	if (!d)
		return -errno;
	for (struct fl_manifest_file *f = m->file; f; f = f->next)
		f->seen = false;
	for (struct dirent *e; (e = readdir(d));)
		if (manifest_name(e->d_name))
			any |= file_look(m, e->d_name);
	closedir(d);
	return any | sweep(m);
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
			fl_log(FL_ERROR, WHO, "manifests %s: %s%s", m->dir, strerror(-ret), m->loaded ? "; what it said before stays" : "");
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
	if (!m->watch)
		fl_timer_set(m->loop, t, fl_loop_now(m->loop) + POLL_NS);
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

struct fl_source *fl_source_manifests_create(struct fl_store *store, struct fl_loop *loop, const struct fl_source_config *cfg, struct fl_err *e)
{
	static const struct fl_source_ops ops = { .destroy = destroy, .relist = relist };
	struct fl_manifests *m = fl_xalloc(sizeof *m);
	*m = (struct fl_manifests){ .base = { &ops }, .store = store, .loop = loop, .dir = fl_xstrndup(cfg->manifests.p, cfg->manifests.n),
				    .timer = { .fn = on_timer } };
	if (check(m, cfg, e)) {
		destroy(&m->base);
		return NULL;
	}
	m->watch = fl_watch_add(loop, m->dir, SETTLE_NS, look, m);
	if (!m->watch)
		fl_log(FL_WARN, WHO, "manifests %s: cannot be watched (%s), looking every %us", m->dir, strerror(errno), (unsigned)(POLL_NS / FL_SEC));
	fl_timer_set(loop, &m->timer, fl_loop_tick(loop));      /* on the loop, as every other change */
	return &m->base;
}

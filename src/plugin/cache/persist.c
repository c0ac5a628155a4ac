#include "plugin/cache/cache_int.h"
#include "plugin/cache/persist.h"
#include "base/log.h"
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FUTURE_MS = 60000 };     /* stored later than now: a clock was wrong */

struct cache_persist {
	char *path, *aside, *folder;
	uint64_t config, stale_ns, written_puts;
	struct cache_slab *slab;
	pthread_t thread;
	bool active, running;
	bool through;                   /* atomic: the thread is */
	bool failing;                   /* the thread's while it runs: said once */
	uint64_t loaded, over;
	struct cache_persist *next;
};

/* Those that serve, newest first: after a reload that changed the block, the old cache must not overwrite the new one's file. */
static struct cache_persist *serving;

static const char who[] = "plugin/cache";

/* ---- reading ---- */

static void entry(void *arg, const struct cache_entry *from, uint64_t wall_ms)
{
	struct cache_persist *p = arg;
	uint64_t now_ms = fl_clock_wall_ns() / FL_MS, age_ms = wall_ms < now_ms ? now_ms - wall_ms : 0;
	unsigned gone[2];
	_Alignas(8) uint8_t copy[CACHE_ENTRY_MAX];
	struct cache_entry *e = (struct cache_entry *)copy;
	if (age_ms >= from->ttl_s * 1000ull + p->stale_ns / FL_MS || wall_ms > now_ms + FUTURE_MS) {
		p->over++;
		return;
	}
	memcpy(copy, from, from->len);
	memset(copy + from->len, 0, -from->len & 7);
	e->hash = fl_cache_hash_of(e);
	e->stored_ns = fl_clock_ns() - age_ms * FL_MS;
	if (!fl_cache_slab_put(p->slab, e, 0, gone))
		p->loaded++;
}

/* The whole file; NULL with errno. */
static uint8_t *read_all(const char *path, size_t *n)
{
	struct stat st;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	uint8_t *p = NULL;
	*n = 0;
	if (fd < 0)
		return NULL;
	if (fstat(fd, &st) || !S_ISREG(st.st_mode))
		errno = EINVAL;
	else if ((p = malloc((size_t)st.st_size + 8)))
		while (*n < (size_t)st.st_size) {
			ssize_t r = read(fd, p + *n, (size_t)st.st_size - *n);
			if (r <= 0)
				break;
			*n += (size_t)r;
		}
	close(fd);
	return p;
}

static void load(struct cache_persist *p)
{
	const char *why = NULL;
	size_t n;
	uint8_t *image = read_all(p->path, &n);
	if (!image) {
		if (errno != ENOENT)
			fl_log(FL_WARN, who, "persist %s: %s; ignored", p->path, strerror(errno));
		return;
	}
	int ret = fl_cache_file_read(image, n, p->config, entry, p, &why);
	free(image);
	if (ret == -ESTALE)
		fl_log(FL_INFO, who, "persist %s: written for another configuration of this server block; not used", p->path);
	else if (ret)
		fl_log(FL_WARN, who, "persist %s: %s; ignored, and replaced by the next one", p->path, why);
	else
		fl_log(FL_INFO, who, "persist %s: %llu entries, %llu more were over", p->path, (unsigned long long)p->loaded,
		       (unsigned long long)p->over);
}

/* ---- writing ---- */

static int sync_folder(const char *folder)
{
	int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC), ret = 0;
	if (fd < 0)
		return -errno;
	if (fsync(fd))
		ret = -errno;
	close(fd);
	return ret == -EINVAL ? 0 : ret;        /* some file systems cannot */
}

static int write_file(struct cache_persist *p)
{
	uint64_t n;
	int fd = open(p->aside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return -errno;
	int ret = fl_cache_file_write(fd, p->slab, p->config, &n);
	if (!ret && fsync(fd))
		ret = -errno;
	if (close(fd) && !ret)
		ret = -errno;
	if (!ret && rename(p->aside, p->path))
		ret = -errno;
	if (ret)
		unlink(p->aside);
	return ret ? ret : sync_folder(p->folder);
}

/* Said when it changes. */
static void outcome(struct cache_persist *p, int ret)
{
	if (ret && !p->failing)
		fl_log(FL_ERROR, who, "persist %s: %s; entries are kept in memory only", p->path, strerror(-ret));
	if (!ret && p->failing)
		fl_log(FL_INFO, who, "persist %s: written again", p->path);
	p->failing = ret != 0;
}

static void *writer(void *arg)
{
	struct cache_persist *p = arg;
	outcome(p, write_file(p));
	__atomic_store_n(&p->through, true, __ATOMIC_RELEASE);
	return NULL;
}

/* With all signals blocked: a limit of file size (SIGXFSZ) is then an error like any other. */
static void begin(struct cache_persist *p)
{
	sigset_t all, was;
	int ret = 0;
	p->written_puts = fl_cache_slab_puts(p->slab);
	p->through = false;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &was);
	if (fl_clock_is_virtual())
		writer(p);
	else
		ret = pthread_create(&p->thread, NULL, writer, p);
	pthread_sigmask(SIG_SETMASK, &was, NULL);
	p->running = !ret && !fl_clock_is_virtual();
	if (ret)
		outcome(p, -ret);
	if (p->running)
		pthread_setname_np(p->thread, "cache file");
}

static void finish(struct cache_persist *p)
{
	if (p->running)
		pthread_join(p->thread, NULL);
	p->running = false;
}

void fl_cache_persist_tick(struct cache_persist *p)
{
	if (p->running && !__atomic_load_n(&p->through, __ATOMIC_ACQUIRE))
		return;
	finish(p);
	if (fl_cache_slab_puts(p->slab) != p->written_puts || p->failing)
		begin(p);
}

void fl_cache_persist_now(struct cache_persist *p)
{
	if (!p)
		return;
	finish(p);
	if (fl_cache_slab_puts(p->slab) != p->written_puts)
		begin(p);
	finish(p);
}

/* ---- life ---- */

static char *joined(const char *a, const char *b)
{
	size_t na = strlen(a), nb = strlen(b);
	char *to = fl_xalloc(na + nb + 1);
	fl_put_bytes(fl_put_bytes(to, a, na), b, nb);
	return to;
}

/* Better said now than when the first one cannot be written. */
static int check(const struct cache_persist *p, struct fl_err *e)
{
	struct stat st;
	if (stat(p->folder, &st) || access(p->folder, W_OK | X_OK))
		return fl_err_set(e, "persist %s: cannot write to its folder: %s", p->path, strerror(errno));
	if (!stat(p->path, &st) && S_ISDIR(st.st_mode))
		return fl_err_set(e, "persist %s: is a folder", p->path);
	return 0;
}

struct cache_persist *fl_cache_persist_create(const char *path, struct fl_str config, struct cache_slab *s, uint64_t stale_ns, struct fl_err *e)
{
	struct cache_persist *p = fl_xalloc(sizeof *p);
	const char *slash = strrchr(path, '/');
	*p = (struct cache_persist){ .path = joined(path, ""), .aside = joined(path, ".new"), .stale_ns = stale_ns, .slab = s,
				     .config = fl_cache_file_sum(config.p, config.n), .written_puts = UINT64_MAX };
	p->folder = slash == path ? joined("/", "") : slash ? fl_xstrndup(path, (size_t)(slash - path)) : joined(".", "");
	if (check(p, e)) {
		fl_cache_persist_destroy(p);
		return NULL;
	}
	load(p);
	return p;
}

void fl_cache_persist_active(struct cache_persist *p)
{
	if (!p || p->active)
		return;
	p->active = true;
	p->next = serving;
	serving = p;
}

/* Is nobody else, who began later, to write this file? */
static bool owns(const struct cache_persist *p)
{
	for (const struct cache_persist *o = serving; o && o != p; o = o->next)
		if (!strcmp(o->path, p->path))
			return false;
	return true;
}

void fl_cache_persist_destroy(struct cache_persist *p)
{
	if (!p)
		return;
	finish(p);
	if (p->active && owns(p))
		fl_cache_persist_now(p);
	for (struct cache_persist **o = &serving; *o; o = &(*o)->next)
		if (*o == p) {
			*o = p->next;
			break;
		}
	free(p->path);
	free(p->aside);
	free(p->folder);
	free(p);
}

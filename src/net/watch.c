#include "net/watch.h"
#include "base/log.h"
#include "base/mem.h"
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

enum { HOPS = 8 };      /* links on the way to the file */
#define POLL_NS (2 * FL_SEC)

/* What a file is: when none of it moved, its content did not. */
struct sign { dev_t dev; ino_t ino; struct timespec mtime; off_t size; bool there, dir; };

struct fl_watch {
	struct fl_io io;
	struct fl_timer settle;         /* also the polling's */
	struct fl_loop *loop;
	char *path;
	uint64_t settle_ns, first_ns;
	void (*fn)(void *arg);
	void *arg;
	struct sign last;
	int wd[HOPS + 1];
	unsigned nwd;
	int lack;                       /* errno of a watch that the kernel had no room for; said once */
};

static struct sign sign_of(const char *path)
{
	struct stat st;
	if (stat(path, &st))
		return (struct sign){ 0 };
	return (struct sign){ st.st_dev, st.st_ino, st.st_mtim, st.st_size, true, S_ISDIR(st.st_mode) };
}

static bool same(const struct sign *a, const struct sign *b)
{
	return a->there == b->there && !a->dir && a->dev == b->dev && a->ino == b->ino && a->size == b->size &&
	       a->mtime.tv_sec == b->mtime.tv_sec && a->mtime.tv_nsec == b->mtime.tv_nsec;
}

static void watch_folder(struct fl_watch *w, const char *folder)
{
	uint32_t mask = IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_CREATE | IN_DELETE | IN_MODIFY | IN_DELETE_SELF | IN_ATTRIB;
	int wd = inotify_add_watch(w->io.fd, folder, mask | IN_ONLYDIR);
	if (wd >= 0 && w->nwd <= HOPS)
		w->wd[w->nwd++] = wd;
	if (wd < 0 && (errno == ENOSPC || errno == ENOMEM))
		w->lack = errno;
}

/* The folder that holds `path`, itself part of the way: its links are in folders too. */
static void watch_holder(struct fl_watch *w, char *path)
{
	char *slash = strrchr(path, '/');
	if (!slash)
		watch_folder(w, ".");
	else if (slash == path)
		watch_folder(w, "/");
	else {
		*slash = 0;
		watch_folder(w, path);
		*slash = '/';
	}
}

/* Follows the links of path, watching the folder of each: path, then what it points to, … */
static void watch_way(struct fl_watch *w)
{
	char at[PATH_MAX], to[PATH_MAX];
	struct stat st;
	for (unsigned i = 0; i < w->nwd; i++)
		inotify_rm_watch(w->io.fd, w->wd[i]);
	w->nwd = 0;
	if (!stat(w->path, &st) && S_ISDIR(st.st_mode))
		watch_folder(w, w->path);
	snprintf(at, sizeof at, "%s", w->path);
	for (int hop = 0; hop < HOPS; hop++) {
		watch_holder(w, at);
		ssize_t n = readlink(at, to, sizeof to - 1);
		if (n <= 0)
			break;
		to[n] = 0;
		char *slash = strrchr(at, '/');
		size_t keep = to[0] == '/' || !slash ? 0 : (size_t)(slash - at) + 1;
		if (keep + (size_t)n >= sizeof at)
			break;
		memcpy(at + keep, to, (size_t)n + 1);
	}
	char *real = realpath(w->path, NULL);   /* links among the folders above */
	if (real)
		watch_holder(w, real);
	free(real);
}

/* Inotify's instances (128 for a user) and watches are shared by all containers of a machine, and it may be that no folder on the way
 * is there: then the file is looked at. */
static void follow(struct fl_watch *w)
{
	int before = w->lack;
	if (w->io.fd >= 0)
		watch_way(w);
	if (w->lack && !before)
		fl_log(FL_WARN, NULL, "%s: cannot be watched (%s), looking every %us", w->path, strerror(w->lack),
		       (unsigned)(POLL_NS / FL_SEC));
	if (!w->nwd || w->lack)
		fl_timer_set(w->loop, &w->settle, fl_loop_tick(w->loop) + POLL_NS);
}

static void settled(struct fl_timer *t)
{
	struct fl_watch *w = (struct fl_watch *)((char *)t - offsetof(struct fl_watch, settle));
	struct sign now = sign_of(w->path);
	w->first_ns = 0;
	follow(w);
	if (same(&now, &w->last))
		return;
	w->last = now;
	w->fn(w->arg);
}

/* Takes what inotify tells. True when something moved: that a watch ended is told too, even when watch_way() ended it, and to look
 * again for that would end watches for ever. (A folder that went tells so itself, before.) */
static bool moved(int fd)
{
	char buf[4096] __attribute__((aligned(8)));
	bool any = false;
	for (ssize_t n; (n = read(fd, buf, sizeof buf)) > 0;)
		for (ssize_t at = 0; at < n;) {
			const struct inotify_event *e = (const void *)(buf + at);
			any = any || e->mask & ~(uint32_t)IN_IGNORED;
			at += (ssize_t)(sizeof *e + e->len);
		}
	return any;
}

static void changed(struct fl_io *io, uint32_t events)
{
	struct fl_watch *w = (struct fl_watch *)((char *)io - offsetof(struct fl_watch, io));
	(void)events;
	if (!moved(io->fd))
		return;
	uint64_t now = fl_loop_tick(w->loop);
	if (!w->first_ns)
		w->first_ns = now;
	uint64_t last = w->first_ns + 10 * w->settle_ns, at = now + w->settle_ns;
	fl_timer_set(w->loop, &w->settle, at < last ? at : last);
}

struct fl_watch *fl_watch_add(struct fl_loop *l, const char *path, uint64_t settle_ns, void (*fn)(void *arg), void *arg)
{
	struct fl_watch *w = fl_xalloc(sizeof *w);
	*w = (struct fl_watch){ .io = { .fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC), .fn = changed }, .settle = { .fn = settled },
				.loop = l, .path = fl_xstrndup(path, strlen(path)), .settle_ns = settle_ns, .fn = fn, .arg = arg,
				.last = sign_of(path) };
	int ret = w->io.fd < 0 ? -errno : fl_loop_add(l, &w->io, EPOLLIN);
	if (ret && w->io.fd >= 0) {
		close(w->io.fd);
		w->io.fd = -1;
	}
	if (ret)
		fl_log(FL_WARN, NULL, "%s: cannot be watched (%s), looking every %us", path, strerror(-ret), (unsigned)(POLL_NS / FL_SEC));
	follow(w);
	return w;
}

void fl_watch_del(struct fl_watch *w)
{
	if (!w)
		return;
	fl_timer_clear(w->loop, &w->settle);
	fl_loop_del(w->loop, &w->io);
	if (w->io.fd >= 0)
		close(w->io.fd);
	free(w->path);
	free(w);
}

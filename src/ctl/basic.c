#include "ctl/basic.h"
#include "base/confine.h"
#include <crypt.h>
#include <errno.h>
#include <gnutls/crypto.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum { DIGEST = 32, SALT = 22, HASH = 31, CREDENTIALS = 4096 };

/* Who is not known costs as much as who is. (Of "fakepassword".) */
static const char nobody[] = "$2y$10$QOauhQNbBCuQDKes6eFzPeMqBSjb7Mr5DUmpZ/VcEd00UAV/LDeSi";

struct fl_basic_job {
	struct fl_basic_job *next;
	void (*done)(void *arg, bool ok);       /* NULL: forgotten */
	void *arg;
	char *hash, *password;
	bool known, ok;                         /* is such a user; the password is of the hash */
	uint8_t key[DIGEST];
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t more = PTHREAD_COND_INITIALIZER;
static struct fl_basic_job *todo, **todo_end = &todo, *ready;   /* under the lock */
static bool stopping;

static struct fl_io bell = { .fd = -1 };        /* the worker rings it; the rest is the main thread's */
static struct fl_loop *loop;
static pthread_t worker;
static unsigned waiting;
/* Wrong ones, right ones: who guesses does not push out who knows. */
static struct known { uint8_t key[FL_BASIC_KNOWN][DIGEST]; unsigned n, next; } known[2];

static void job_free(struct fl_basic_job *j)
{
	explicit_bzero(j->password, strlen(j->password));
	free(j->hash);
	free(j->password);
	free(j);
}

/* ---- the worker ---- */

/* As x/crypto/bcrypt, to which every $2 is the same; libxcrypt would know 2a, 2b, 2x and 2y apart. */
static bool matches(const char *hash, const char *password)
{
	const char *cost = hash[2] == '$' ? hash + 3 : hash + 4, *salt = cost + 3, *sum = salt + SALT;
	struct crypt_data *room;
	char setting[64];
	if (strlen(hash) < (size_t)(sum - hash) + HASH)
		return false;
	snprintf(setting, sizeof setting, "$2b$%.2s$%.*s", cost, SALT, salt);
	room = calloc(1, sizeof *room);
	/* Not crypt_r(): sanitizers put their own in its place. */
	const char *got = room ? crypt_rn(password, setting, room, (int)sizeof *room) : NULL;
	bool ok = got && strlen(got) == 29 + HASH && !gnutls_memcmp(got + 29, sum, HASH);
	if (room)
		explicit_bzero(room, sizeof *room);
	free(room);
	return ok;
}

static void *work(void *arg)
{
	(void)arg;
	fl_confine_thread();
	pthread_mutex_lock(&lock);
	while (!stopping) {
		struct fl_basic_job *j = todo;
		if (!j) {
			pthread_cond_wait(&more, &lock);
			continue;
		}
		if (!(todo = j->next))
			todo_end = &todo;
		pthread_mutex_unlock(&lock);
		j->ok = matches(j->hash, j->password);
		pthread_mutex_lock(&lock);
		j->next = ready;
		ready = j;
		eventfd_write(bell.fd, 1);
	}
	pthread_mutex_unlock(&lock);
	return NULL;
}

static void remember(struct known *k, const uint8_t key[DIGEST])
{
	memcpy(k->key[k->next], key, DIGEST);
	k->next = (k->next + 1) % FL_BASIC_KNOWN;
	k->n += k->n < FL_BASIC_KNOWN;
}

static bool remembered(const struct known *k, const uint8_t key[DIGEST])
{
	for (unsigned i = 0; i < k->n; i++)
		if (!memcmp(k->key[i], key, DIGEST))
			return true;
	return false;
}

static void on_ready(struct fl_io *io, uint32_t events)
{
	eventfd_t count;
	(void)events;
	eventfd_read(io->fd, &count);
	pthread_mutex_lock(&lock);
	struct fl_basic_job *j = ready, *next;
	ready = NULL;
	pthread_mutex_unlock(&lock);
	for (; j; j = next) {
		next = j->next;
		remember(&known[j->ok && j->known], j->key);
		waiting--;
		if (j->done)
			j->done(j->arg, j->ok && j->known);
		job_free(j);
	}
}

static int begin(struct fl_loop *l)
{
	sigset_t all, was;
	if (loop)
		return 0;
	bell = (struct fl_io){ .fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC), .fn = on_ready };
	int ret = bell.fd < 0 ? -errno : fl_loop_add(l, &bell, EPOLLIN);
	if (!ret) {
		sigfillset(&all);
		pthread_sigmask(SIG_SETMASK, &all, &was);
		ret = -pthread_create(&worker, NULL, work, NULL);
		pthread_sigmask(SIG_SETMASK, &was, NULL);
	}
	if (!ret) {
		loop = l;
		return 0;
	}
	fl_loop_del(l, &bell);
	if (bell.fd >= 0)
		close(bell.fd);
	return ret;
}

void fl_basic_finish(void)
{
	if (!loop)
		return;
	pthread_mutex_lock(&lock);
	stopping = true;
	pthread_cond_signal(&more);
	pthread_mutex_unlock(&lock);
	pthread_join(worker, NULL);
	fl_loop_del(loop, &bell);
	close(bell.fd);
	*todo_end = ready;
	for (struct fl_basic_job *j = todo, *next; j; j = next) {
		next = j->next;
		job_free(j);
	}
	todo = ready = NULL;
	todo_end = &todo;
	stopping = false;
	loop = NULL;
	waiting = known[0].n = known[0].next = known[1].n = known[1].next = 0;
}

/* ---- questions ---- */

/* "Basic dXNlcjpwYXNzd29yZA==": user and password, NUL-terminated, into room. */
static bool credentials(struct fl_str field, char room[CREDENTIALS], const char **user, const char **password)
{
	static const char scheme[] = "Basic ";
	gnutls_datum_t text = { NULL, 0 };
	if (field.n < sizeof scheme - 1 || !fl_str_ieq((struct fl_str){ field.p, sizeof scheme - 1 }, fl_str(scheme)))
		return false;
	gnutls_datum_t in = { (unsigned char *)(uintptr_t)field.p + sizeof scheme - 1, (unsigned)(field.n - (sizeof scheme - 1)) };
	if (gnutls_base64_decode2(&in, &text) < 0)
		return false;
	char *colon = text.size ? memchr(text.data, ':', text.size) : NULL;
	bool ok = colon && text.size < CREDENTIALS && !memchr(text.data, 0, text.size);
	if (ok) {
		*(char *)fl_put_bytes(room, text.data, text.size) = 0;
		room[colon - (char *)text.data] = 0;
		*user = room;
		*password = room + (colon - (char *)text.data) + 1;
	}
	gnutls_free(text.data);
	return ok;
}

static bool key_of(uint8_t key[DIGEST], const char *user, bool is_known, const char *hash, const char *password)
{
	gnutls_hash_hd_t h;
	if (gnutls_hash_init(&h, GNUTLS_DIG_SHA256) < 0)
		return false;
	gnutls_hash(h, user, strlen(user) + 1);
	gnutls_hash(h, &is_known, sizeof is_known);     /* somebody's hash may be the stand-in's */
	gnutls_hash(h, hash, strlen(hash) + 1);
	gnutls_hash(h, password, strlen(password) + 1);
	gnutls_hash_deinit(h, key);
	return true;
}

static int enqueue(struct fl_loop *l, struct fl_basic_job *j)
{
	int ret = waiting >= FL_BASIC_WAITING ? -EBUSY : begin(l);
	if (ret) {
		job_free(j);
		return ret;
	}
	waiting++;
	pthread_mutex_lock(&lock);
	*todo_end = j;
	todo_end = &j->next;
	pthread_cond_signal(&more);
	pthread_mutex_unlock(&lock);
	return -EINPROGRESS;
}

int fl_basic_ask(struct fl_loop *l, const struct fl_webconf_map *users, struct fl_str authorization, void (*done)(void *arg, bool ok),
		 void *arg, struct fl_basic_job **job)
{
	const char *user, *password, *hash = NULL;
	char room[CREDENTIALS];
	uint8_t key[DIGEST];
	if (!credentials(authorization, room, &user, &password))
		return 0;
	for (unsigned i = 0; i < users->n && !hash; i++)
		if (!strcmp(users->at[i].key, user))
			hash = users->at[i].value;
	bool is_known = hash;
	hash = hash ? hash : nobody;
	int ret = key_of(key, user, is_known, hash, password) ? -EINPROGRESS : -EBUSY;
	if (ret == -EINPROGRESS && remembered(&known[true], key))
		ret = 1;
	else if (ret == -EINPROGRESS && remembered(&known[false], key))
		ret = 0;
	if (ret == -EINPROGRESS) {
		struct fl_basic_job *j = fl_xalloc(sizeof *j);
		*j = (struct fl_basic_job){ .done = done, .arg = arg, .hash = fl_xstrndup(hash, strlen(hash)),
					    .password = fl_xstrndup(password, strlen(password)), .known = is_known };
		memcpy(j->key, key, DIGEST);
		ret = enqueue(l, j);
		*job = ret == -EINPROGRESS ? j : NULL;
	}
	explicit_bzero(room, sizeof room);
	return ret;
}

void fl_basic_forget(struct fl_basic_job *job) { job->done = NULL; }

/* Work that would hold a shard up (signing, whole zones) runs on one helper thread, made when the first job comes. Bounded: a full queue
 * is the caller's problem. While a job runs the thread is a reader of the RCU. */
#include "dns/server_int.h"
#include "base/rcu.h"
#include <errno.h>
#include <signal.h>
#include <stdlib.h>

enum { JOBS_MAX = 256 };

struct job { struct fl_ticket t; struct fl_loop *loop; int (*work)(void *arg); void *arg; int ret; struct job *next; };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t more = PTHREAD_COND_INITIALIZER, idle = PTHREAD_COND_INITIALIZER;
static struct job slots[JOBS_MAX], *spare, *first, **last = &first;
static bool started, running, closed;

static void back(void *arg)
{
	struct job *j = arg, done = *j;
	pthread_mutex_lock(&lock);
	j->next = spare;
	spare = j;
	pthread_mutex_unlock(&lock);
	fl_chain_job_done(done.t, done.ret);
}

static void *helper(void *arg)
{
	(void)arg;
	fl_rcu_register();
	fl_rcu_offline();
	for (;;) {
		pthread_mutex_lock(&lock);
		running = false;
		pthread_cond_signal(&idle);
		while (!first)
			pthread_cond_wait(&more, &lock);
		struct job *j = first;
		if (!(first = j->next))
			last = &first;
		running = true;
		pthread_mutex_unlock(&lock);
		fl_rcu_online();
		j->ret = j->work(j->arg);
		fl_rcu_offline();
		fl_loop_post(j->loop, back, j);
	}
	return NULL;
}

static int start_helper(void)
{
	pthread_t t;
	sigset_t all, was;
	for (unsigned i = 0; i < JOBS_MAX; i++) {
		slots[i].next = spare;
		spare = &slots[i];
	}
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &was);
	int ret = pthread_create(&t, NULL, helper, NULL);
	pthread_sigmask(SIG_SETMASK, &was, NULL);
	if (!ret)
		pthread_detach(t);
	return -ret;
}

int fl_job_start(struct fl_ticket t, int (*work)(void *arg), void *arg)
{
	int ret = 0;
	bool here = ((struct fl_shard_x *)t.root->shard)->server->inline_shard;         /* no threads: fl-sim */
	pthread_mutex_lock(&lock);
	if (!started && !(ret = start_helper()))
		started = true;
	struct job *j = ret || closed ? NULL : spare;
	if (j) {
		spare = j->next;
		*j = (struct job){ t, t.root->shard->loop, work, arg, 0, NULL };
	} else if (!ret) {
		ret = -EBUSY;
	}
	if (j && !here) {
		*last = j;
		last = &j->next;
		pthread_cond_signal(&more);
	}
	pthread_mutex_unlock(&lock);
	if (j && here) {
		j->ret = work(arg);
		fl_loop_post(j->loop, back, j);
	}
	return ret;
}

void fl_jobs_close(void)
{
	pthread_mutex_lock(&lock);
	closed = true;
	while (running || first)
		pthread_cond_wait(&idle, &lock);
	pthread_mutex_unlock(&lock);
}

void fl_jobs_open(void)
{
	pthread_mutex_lock(&lock);
	closed = false;
	pthread_mutex_unlock(&lock);
}

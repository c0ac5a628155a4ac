#include "base/rcu.h"
#include "base/mem.h"
#include <stdlib.h>
#include <urcu-qsbr.h>

#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define TSAN 1
#endif
#elif defined(__SANITIZE_THREAD__)
#define TSAN 1
#endif

#ifdef TSAN
/* TSan does not see liburcu's fences: tell it that a grace period orders what readers did before with what the writer does after. */
void AnnotateHappensBefore(const char *f, int l, const volatile void *p);
void AnnotateHappensAfter(const char *f, int l, const volatile void *p);
static char grace;
#define BEFORE() AnnotateHappensBefore(__FILE__, __LINE__, &grace)
#define AFTER() AnnotateHappensAfter(__FILE__, __LINE__, &grace)
#else
#define BEFORE() ((void)0)
#define AFTER() ((void)0)
#endif

void fl_rcu_register(void) { urcu_qsbr_register_thread(); }

void fl_rcu_unregister(void)
{
	BEFORE();
	urcu_qsbr_unregister_thread();
}

void fl_rcu_offline(void)
{
	BEFORE();
	urcu_qsbr_thread_offline();
}

void fl_rcu_online(void) { urcu_qsbr_thread_online(); }

void fl_rcu_quiescent(void)
{
	BEFORE();
	urcu_qsbr_quiescent_state();
}

void fl_rcu_synchronize(void)
{
	urcu_qsbr_synchronize_rcu();
	AFTER();
}

void fl_rcu_free_later(struct fl_rcu_bin *b, void *malloced, size_t bytes)
{
	if (!malloced)
		return;
	if (b->n == b->cap) {
		b->cap = b->cap ? 2 * b->cap : 64;
		b->ptr = fl_xrealloc(b->ptr, b->cap * sizeof *b->ptr);
	}
	b->ptr[b->n++] = malloced;
	b->bytes += bytes;
}

void fl_rcu_reclaim(struct fl_rcu_bin *b)
{
	if (!b->n)
		return;
	fl_rcu_synchronize();
	for (size_t i = 0; i < b->n; i++)
		free(b->ptr[i]);
	b->n = b->bytes = 0;
}

void fl_rcu_bin_finish(struct fl_rcu_bin *b)
{
	fl_rcu_reclaim(b);
	free(b->ptr);
	*b = (struct fl_rcu_bin){ 0 };
}

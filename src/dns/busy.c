/* How much of the time the shards do something: 0 when all wait, 1 when one of them never does. A thread that the kernel lets wait for a
 * CPU (quota, neighbours) is busy, so this tells what no CPU counter does: how near the server is to losing queries. */
#include "dns/server_int.h"
#include "base/clock.h"

enum { SHORTEST_MS = 500 };     /* between two looks; sooner, the last result stands */

static double busy(struct fl_shard_x *x, uint64_t now, uint64_t span)
{
	uint64_t since = __atomic_load_n(&x->waits_since_ns, __ATOMIC_RELAXED), waited = __atomic_load_n(&x->waited_ns, __ATOMIC_RELAXED);
	if (since && since < now)
		waited += now - since;
	uint64_t idle = waited > x->seen_waited_ns ? waited - x->seen_waited_ns : 0;
	x->seen_waited_ns = waited;
	return idle < span ? 1 - (double)idle / (double)span : 0;
}

static void look(void *arg)
{
	struct fl_server *s = arg;
	uint64_t now = fl_clock_ns(), span = now - s->seen_ns;
	double most = 0;
	if (span < SHORTEST_MS * FL_MS)
		return;
	for (unsigned i = 1; i <= s->process.shards; i++) {
		double b = busy(s->shard[i], now, span);
		most = b > most ? b : most;
	}
	s->seen_ns = now;
	fl_grid_set(s->busiest, most);
}

void fl_busy_watch(struct fl_server *s)
{
	static const struct fl_metric_def def = { .name = "fairlead_saturation", .kind = FL_GAUGE,
		.help = "Share of the time since the last look in which the busiest shard was at work, 0 to 1." };
	s->busiest = fl_metric_plain(&def);
	s->seen_ns = fl_clock_ns();
	fl_grid_set(s->busiest, 0);
	fl_metric_before(look, s);
}

void fl_busy_forget(struct fl_server *s) { fl_metric_before_drop(look, s); }

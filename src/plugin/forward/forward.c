/* forward FROM TO... { ... }: asks other servers. */
#include "plugin/forward/forward_int.h"
#include <errno.h>
#include <stdlib.h>

static bool takes(const struct fwd_stanza *st, struct fl_name n)
{
	if (!fl_name_under(n, st->from))
		return false;
	return !st->except.n || fl_name_eq(n, st->from) || fl_zones_match(&st->except, n) < 0;
}

struct fwd_stanza *fl_forward_stanza(struct fwd *f, unsigned i, struct fl_name n)
{
	for (; i < f->n; i++)
		if (takes(&f->stanza[i], n))
			return &f->stanza[i];
	return NULL;
}

static int shard_start(void *inst, struct fl_shard *sh, void **local)
{
	struct fwd *f = inst;
	struct fwd_local *l = fl_xalloc(sizeof *l + f->n * sizeof l->view[0]);
	l->in = f;
	l->shard = sh;
	l->net = fl_up_net_create(sh->loop, sh->pool);
	for (unsigned i = 0; i < f->n; i++) {
		__atomic_fetch_add(&f->stanza[i].set->refs, 1, __ATOMIC_RELAXED);
		l->view[i] = fl_forward_view(l, f->stanza[i].set);
	}
	*local = l;
	__atomic_store_n(&f->local[sh->id], l, __ATOMIC_RELEASE);
	return 0;
}

static void shard_stop(void *inst, struct fl_shard *sh, void *local)
{
	struct fwd *f = inst;
	struct fwd_local *l = local;
	__atomic_store_n(&f->local[sh->id], NULL, __ATOMIC_RELEASE);
	for (unsigned i = 0; i < f->n; i++)
		fl_forward_view_free(l->view[i]);
	fl_up_net_destroy(l->net);
	free(l);
}

static void destroy(void *inst)
{
	fl_forward_sets_free(inst);
	fl_forward_health_free(inst);
}

static int meta(void *inst, struct fl_query *q, struct fl_str label, struct fl_str *value)
{
	const char *to = fl_forward_asked(q);
	(void)inst;
	if (!to || !fl_str_is(label, "forward/upstream"))
		return -ENOENT;
	*value = fl_str(to);
	return FL_LEARNT;
}

static const struct fl_opt opts[] = {
	{ "", "FROM TO...", "names below FROM are asked of TO: [SCHEME://]IP[%NAME][:PORT], resolv.conf files, host names; at most 15" },
	{ "except", "ZONE...", "not those below these" },
	{ "force_tcp", "", "TCP, whatever the client used" },
	{ "prefer_udp", "", "UDP first, whatever the client used; TCP when the answer is truncated" },
	{ "expire", "DURATION", "sockets are kept so long (10s)" },
	{ "max_age", "DURATION", "connections older than that take no more questions (no limit)" },
	{ "max_idle_conns", "N", "so many connections are kept idle (no limit)" },
	{ "read_timeout", "DURATION", "how long one server is waited for (2s)" },
	{ "max_fails", "N", "failed probes in a row that make a server down (2); 0: no probes, never down" },
	{ "max_connect_attempts", "N", "errors after which a query fails (2 for each server); 0: no limit" },
	{ "health_check", "DURATION [no_rec] [domain NAME]", "pause between probes of one that failed (0.5s), what is asked" },
	{ "policy", "random|round_robin|sequential", "in which order servers are tried (random)" },
	{ "max_concurrent", "N", "beyond N queries in flight: REFUSED" },
	{ "next", "RCODE...", "the next forward of the block takes what was answered so" },
	{ "next_on_nodata", "", "the next forward takes what was answered without records" },
	{ "failover", "RCODE...", "the next server is tried when one answers so" },
	{ "failfast_all_unhealthy_upstreams", "", "SERVFAIL at once while all are down" },
	{ "tls", "[CERT KEY] [CA]", "credentials for tls://, https:// and quic://" },
	{ "tls_servername", "NAME", "what the certificates of these must be for" },
	{ "doh_method", "GET|POST", "how https:// asks (POST)" },
	{ "resolver", "IP[:PORT]...", "who knows the host names in TO (resolv.conf)" },
	{ "source_address", "IP", "sockets are bound to it" },
	{ "mix_case", "", "letters of the question get random case, which the answer must repeat" },
	{ "hedge", "[DURATION|auto]", "another server is asked too when one is slow: after DURATION, or what 95 of 100 answers took (auto)" },
	{ NULL },
};

FL_PLUGIN(forward, .opts = opts, .setup = fl_forward_setup, .link = fl_forward_link, .destroy = destroy, .shard_start = shard_start,
	  .shard_stop = shard_stop, .query = fl_forward_query, .cancel = fl_forward_cancel, .meta = meta);

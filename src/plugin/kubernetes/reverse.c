/* PTR records (CoreDNS plugin/kubernetes/reverse.go), by binary addresses. */
#include "plugin/kubernetes/kubernetes.h"
#include "base/rng.h"
#include <errno.h>

enum { MESSAGE_MAX = 65535, RR_LEAST = 12 };

bool fl_k8s_is_reverse(struct fl_name n)
{
	static const uint8_t v4[] = "\7in-addr\4arpa", v6[] = "\3ip6\4arpa";
	return fl_name_under(n, (struct fl_name){ v4, sizeof v4 }) || fl_name_under(n, (struct fl_name){ v6, sizeof v6 });
}

static enum fl_verdict one_service(struct fl_k8s_ask *a, const struct fl_service *s)
{
	struct fl_k8s_namer w;
	if (!fl_k8s_name_of(&w, &s->o, NULL, 0, false, a->k->primary))
		return fl_k8s_no_name(a);
	const struct fl_rrset *set = fl_rrset_one(a->q->arena, FL_T_PTR, a->k->ttl, w.wire, w.n);
	return set && fl_reply_add(a->q, FL_ANSWER, a->q->qname, set, false) ? fl_k8s_done(a->q) : fl_k8s_no_memory(a->q);
}

struct ptrs { struct fl_k8s_ask *a; struct fl_rrset_maker m; struct fl_seen seen; size_t used; };

static void slice_names(struct ptrs *p, const struct fl_slice *s, const struct fl_ip *ip)
{
	struct fl_object svc = { .ns = s->o.ns, .name = s->service };
	struct fl_k8s_namer w;
	const struct fl_k8s *k = p->a->k;
	for (uint32_t i = 0; i < s->nep && p->used <= MESSAGE_MAX; i++) {
		if (memcmp(fl_k8s_addr(s, i), ip->b, ip->len) || !fl_k8s_ready(s, i) ||
		    !fl_k8s_name_of(&w, &svc, s, i, k->pod_names, k->primary) || !fl_seen_new(&p->seen, fl_hash(w.wire, w.n)))
			continue;
		fl_rrset_put(&p->m, k->ttl, w.wire, w.n);
		p->used += RR_LEAST + w.n;
	}
}

static enum fl_verdict endpoints(struct fl_k8s_ask *a, const struct fl_ip *ip)
{
	const struct fl_k8s_index *ix = a->k->index;
	struct ptrs p = { .a = a };
	struct fl_k8s_probe at = fl_k8s_slices(ix, ip);
	const struct fl_slice *s;
	uint64_t most = 0;
	while ((s = fl_k8s_slice_next(&at, ip)))
		most += s->nep;
	if (!most)
		return fl_k8s_no_name(a);
	p.seen = (struct fl_seen){ .cap = fl_seen_cap(most) };
	p.seen.slot = fl_zalloc(a->q->arena, p.seen.cap * sizeof *p.seen.slot);
	if (!p.seen.slot)
		return fl_k8s_no_memory(a->q);
	fl_rrset_begin(&p.m, a->q->arena, FL_T_PTR, FL_C_IN, 128);
	for (at = fl_k8s_slices(ix, ip); (s = fl_k8s_slice_next(&at, ip));)
		if (fl_k8s_exposed(ix, s->o.ns))
			slice_names(&p, s, ip);
	const struct fl_rrset *set = fl_rrset_end(&p.m);
	if (!set)
		return fl_k8s_no_memory(a->q);
	if (!set->count)
		return fl_k8s_no_name(a);
	if (p.used > MESSAGE_MAX)
		a->q->res.set |= FL_TC;
	return fl_reply_add(a->q, FL_ANSWER, a->q->qname, set, false) ? fl_k8s_done(a->q) : fl_k8s_no_memory(a->q);
}

enum fl_verdict fl_k8s_ptr(struct fl_k8s_ask *a)
{
	const struct fl_k8s_node *n;
	struct fl_addr addr;
	if (!fl_name_unreverse(a->name, &addr))
		return fl_k8s_nothing(a, fl_k8s_exists(a, &n));
	struct fl_ip ip = { .len = addr.len };
	memcpy(ip.b, addr.b, addr.len);
	const struct fl_service *s = fl_k8s_vip(a->k->index, &ip);
	return s ? one_service(a, s) : endpoints(a, &ip);
}

#include "plugin/k8s_external/k8s_external.h"

/* ---- the question ---- */

static struct fl_str bare(struct fl_str s) { return s.n && s.p[0] == '_' ? (struct fl_str){ s.p + 1, s.n - 1 } : s; }

void fl_ext_parse(struct ext_req *r, struct fl_name name, unsigned zone_labels)
{
	unsigned n = fl_name_labels(name) - zone_labels;
	*r = (struct ext_req){ .too_long = n > 4 };
	if (n)
		r->ns = fl_name_label(name, n - 1);
	if (n > 1)
		r->service = fl_name_label(name, n - 2);
	if (n == 3)
		r->endpoint = bare(fl_name_label(name, 0));
	if (n == 4) {
		r->port = bare(fl_name_label(name, 0));
		r->protocol = bare(fl_name_label(name, 1));
	}
}

/* ---- what answers it ---- */

void fl_ext_walk(struct ext_walk *w, const struct ext *e, const struct ext_req *r, const struct fl_cluster_service *s)
{
	*w = (struct ext_walk){ .e = e, .r = r, .s = *s };
	w->endpoints = e->headless && !s->svc->nexternal && (s->svc->headless || r->endpoint.n);
}

static bool port_matches(const struct ext_req *r, const struct fl_port *p)
{
	if (!p)
		return !r->port.n && !r->protocol.n;
	return (!r->port.n || fl_str_ieq(r->port, p->name)) && (!r->protocol.n || fl_str_ieq(r->protocol, p->protocol));
}

/* The next port at or behind *p that the request names; without any declared one, an absent one comes once. */
static bool next_port(const struct ext_req *r, const struct fl_port *port, unsigned n, uint32_t *p, const struct fl_port **found)
{
	while (*p < n || (!n && !*p)) {
		*found = n ? &port[*p] : NULL;
		++*p;
		if (port_matches(r, *found))
			return true;
	}
	return false;
}

static bool endpoint_matches(const struct ext_walk *w, const struct fl_slice *s, uint32_t i)
{
	char name[256];
	if (!(s->ep[i].flags & FL_EP_READY))
		return false;
	if (!w->r->endpoint.n)
		return true;
	return fl_str_ieq(w->r->endpoint, (struct fl_str){ name, w->e->cluster->endpoint_name(w->e->inst, name, s, i) });
}

static bool next_endpoint(struct ext_walk *w, struct ext_item *it)
{
	for (; w->k < w->s.nslice; w->k++, w->i = 0) {
		const struct fl_slice *s = w->s.slice[w->k];
		for (; w->i < s->nep; w->i++, w->p = 0) {
			if ((!w->p && !endpoint_matches(w, s, w->i)) || !next_port(w->r, s->port, s->nport, &w->p, &it->port))
				continue;
			it->slice = s;
			it->at = w->i;
			it->ip.len = s->alen;
			memcpy(it->ip.b, s->addr + (size_t)w->i * s->alen, s->alen);
			return true;
		}
	}
	return false;
}

bool fl_ext_next(struct ext_walk *w, struct ext_item *it)
{
	const struct fl_service *s = w->s.svc;
	*it = (struct ext_item){ 0 };
	if (w->endpoints)
		return next_endpoint(w, it);
	for (; w->i < s->nexternal; w->i++, w->p = 0) {
		if (!next_port(w->r, s->port, s->nport, &w->p, &it->port))
			continue;
		if (!fl_ip_parse(s->external[w->i], &it->ip)) {
			it->ip.len = 0;
			it->host = s->external[w->i];
		}
		return true;
	}
	return false;
}

uint16_t fl_ext_weight(unsigned records) { return records && records < 100 ? (uint16_t)(100 / records) : 1; }

/* ---- names ---- */

static bool put_label(uint8_t *to, size_t *n, const char *p, size_t len)
{
	if (!len || len > FL_LABEL_MAX || *n + len + 2 > FL_NAME_MAX)
		return false;
	to[(*n)++] = (uint8_t)len;
	for (size_t i = 0; i < len; i++)
		to[(*n)++] = fl_lower((uint8_t)p[i]);
	return true;
}

static struct fl_name end(uint8_t *to, size_t n, struct fl_name zone)
{
	if (n + zone.len > FL_NAME_MAX)
		return (struct fl_name){ to, 0 };
	memcpy(to + n, zone.wire, zone.len);
	return (struct fl_name){ to, (uint8_t)(n + zone.len) };
}

struct fl_name fl_ext_name(uint8_t *to, const struct ext *e, const struct fl_service *s, const struct ext_item *it, struct fl_name zone)
{
	char name[256];
	size_t n = 0;
	if ((it->slice && !put_label(to, &n, name, e->cluster->endpoint_name(e->inst, name, it->slice, it->at))) ||
	    !put_label(to, &n, s->o.name.p, s->o.name.n) || !put_label(to, &n, s->o.ns.p, s->o.ns.n))
		return (struct fl_name){ to, 0 };
	return end(to, n, zone);
}

struct fl_name fl_ext_below_apex(uint8_t *to, const struct ext *e, const char *label, struct fl_name zone)
{
	size_t n = 0;
	if (*label && !put_label(to, &n, label, strlen(label)))
		return (struct fl_name){ to, 0 };
	if (n + e->napex > FL_NAME_MAX)
		return (struct fl_name){ to, 0 };
	memcpy(to + n, e->apex, e->napex);
	return end(to, n + e->napex, zone);
}

size_t fl_ext_soa(uint8_t *to, const struct ext *e, struct fl_name zone, uint32_t serial)
{
	const uint32_t number[] = { serial, 7200, 1800, 86400, e->ttl };
	struct fl_name ns = fl_ext_below_apex(to, e, "ns1", zone), mbox = fl_ext_below_apex(to + ns.len, e, "hostmaster", zone);
	if (!ns.len || !mbox.len)
		return 0;
	uint8_t *p = to + ns.len + mbox.len;
	for (unsigned i = 0; i < FL_COUNT(number); i++, p += 4)
		fl_put32(p, number[i]);
	return (size_t)(p - to);
}

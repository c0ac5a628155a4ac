#include "plugin/kubernetes/kubernetes.h"

/* The namespace is there, and it is one that the directive names. */
bool fl_k8s_exposed(const struct kubernetes *k, struct fl_str ns)
{
	bool listed = !k->nnamespaces;
	for (unsigned i = 0; i < k->nnamespaces; i++)
		listed |= fl_str_ieq(k->namespaces[i], ns);
	return listed && fl_k8s_namespace(k->state->index, ns);
}

bool fl_k8s_port_fits(const struct k8s_name *n, const struct fl_port *p)
{
	struct fl_str none = FL_STR("");
	return (!n->port.n || fl_str_ieq(n->port, p ? p->name : none)) && (!n->proto.n || fl_str_ieq(n->proto, p ? p->protocol : none));
}

static bool any_port_fits(const struct k8s_name *n, const struct fl_port *p, unsigned count)
{
	if (!count)
		return fl_k8s_port_fits(n, NULL);
	for (unsigned i = 0; i < count; i++)
		if (fl_k8s_port_fits(n, &p[i]))
			return true;
	return false;
}

/* ---- names of endpoints ---- */

/* 10.1.2.3 is 10-1-2-3, fd00::1 is fd00--1; what would end with a dash gets a 0. */
static size_t dashed(struct fl_str ip, char *to, size_t cap)
{
	size_t n = 0;
	for (; n < ip.n && n + 2 < cap; n++)
		to[n] = ip.p[n] == '.' || ip.p[n] == ':' ? '-' : ip.p[n];
	if (n && to[n - 1] == '-')
		to[n++] = '0';
	to[n] = 0;
	return n;
}

static struct fl_str given_name(const struct kubernetes *k, const struct fl_slice *s, uint32_t slot)
{
	struct fl_str host = fl_slice_text(s, s->ep[slot].hostname), pod = fl_slice_text(s, s->ep[slot].pod);
	return host.n ? host : k->endpoint_pod_names && pod.n < 64 ? pod : FL_STR("");
}

size_t fl_k8s_endpoint_name(const struct kubernetes *k, const struct fl_slice *s, uint32_t slot, char *to, size_t cap)
{
	struct fl_str given = given_name(k, s, slot), spelled = fl_slice_text(s, s->ep[slot].spelling);
	char text[46];
	if (given.n && given.n < cap) {
		memcpy(to, given.p, given.n + 1);
		return given.n;
	}
	if (!spelled.n)
		spelled = (struct fl_str){ text, fl_ip_text(text, s->addr + (size_t)slot * s->alen, s->alen) };
	return dashed(spelled, to, cap);
}

/* A label as the address whose dashed form it is, once for all endpoints; len 0: of none. */
static struct fl_ip undashed(struct fl_str label)
{
	char text[64], back[64], canonical[46];
	struct fl_ip ip = { .len = 0 };
	for (int v6 = 0; v6 < 2 && label.n < sizeof text; v6++) {
		for (size_t i = 0; i < label.n; i++)
			text[i] = label.p[i] == '-' ? (v6 ? ':' : '.') : (char)fl_lower((uint8_t)label.p[i]);
		if (!fl_ip_parse((struct fl_str){ text, label.n }, &ip) || ip.len != (v6 ? 16 : 4))
			continue;
		size_t n = fl_ip_text(canonical, ip.b, ip.len), m = dashed((struct fl_str){ canonical, n }, back, sizeof back);
		if (fl_str_ieq(label, (struct fl_str){ back, m }))
			return ip;
	}
	ip.len = 0;
	return ip;
}

struct wanted { struct fl_str label; struct fl_ip ip; };

static bool name_fits(const struct kubernetes *k, const struct wanted *w, const struct fl_slice *s, uint32_t slot)
{
	char name[256];
	struct fl_str given = given_name(k, s, slot);
	if (!w->label.n)
		return true;
	if (given.n)
		return fl_str_ieq(given, w->label);
	if (s->ep[slot].spelling)
		return fl_str_ieq((struct fl_str){ name, fl_k8s_endpoint_name(k, s, slot, name, sizeof name) }, w->label);
	return w->ip.len == s->alen && !memcmp(w->ip.b, s->addr + (size_t)slot * s->alen, s->alen);
}

static bool each_port(const struct k8s_name *n, const struct fl_slice *s, uint32_t slot, k8s_each *fn, void *arg)
{
	if (!s->nport)
		return !fl_k8s_port_fits(n, NULL) || fn(arg, s, slot, NULL);
	for (unsigned i = 0; i < s->nport; i++)
		if (fl_k8s_port_fits(n, &s->port[i]) && !fn(arg, s, slot, &s->port[i]))
			return false;
	return true;
}

void fl_k8s_endpoints(const struct kubernetes *k, const struct k8s_hit *h, k8s_each *fn, void *arg)
{
	struct wanted w = { .label = h->name.endpoint };
	if (w.label.n)
		w.ip = undashed(w.label);
	for (uint32_t i = 0; i < h->node->nslice; i++) {
		const struct fl_slice *s = h->node->slice[i];
		for (uint32_t slot = 0; slot < s->nep; slot++)
			if ((s->ep[slot].flags & FL_EP_READY) && name_fits(k, &w, s, slot) && !each_port(&h->name, s, slot, fn, arg))
				return;
	}
}

static bool one_is_enough(void *arg, const struct fl_slice *s, uint32_t slot, const struct fl_port *port)
{
	(void)s, (void)slot, (void)port;
	*(bool *)arg = true;
	return false;
}

/* ---- what stands behind a name ---- */

static enum k8s_found look_service(const struct kubernetes *k, const struct k8s_name *n, struct k8s_hit *hit)
{
	const struct k8s_node *node = fl_k8s_find(k->state->index, n->ns, n->service);
	const struct fl_service *v = node ? node->service : NULL;
	bool plain = !n->endpoint.n && !n->port.n && !n->proto.n, any = false;
	struct fl_ip ip;
	if (!v)
		return FOUND_NOTHING;
	hit->node = node;
	if (v->type == FL_EXTERNAL_NAME)
		return plain && !fl_ip_parse(v->external_name, &ip) && v->external_name.n ? FOUND_EXTERNAL : FOUND_NOTHING;
	if (k->ignore_empty && !v->headless && !node->nready)
		return FOUND_NOTHING;
	if (!v->headless && !n->endpoint.n) {
		if (!plain && !any_port_fits(n, v->port, v->nport))
			return FOUND_NOTHING;
		return node->a.count || node->aaaa.count ? FOUND_CLUSTER_IP : FOUND_EMPTY;      /* an address is not allocated yet */
	}
	if (plain)
		return node->nready ? FOUND_ENDPOINTS : FOUND_NOTHING;
	fl_k8s_endpoints(k, hit, one_is_enough, &any);
	return any ? FOUND_ENDPOINTS : FOUND_NOTHING;
}

/* 1-2-3-4.ns.pod: three dashes and no two beside each other are an IPv4 address, else they are colons. */
static enum k8s_found look_pod(const struct kubernetes *k, const struct k8s_name *n, struct k8s_hit *hit)
{
	char text[64];
	unsigned dashes = 0;
	bool twice = false;
	if (k->pods == PODS_DISABLED)
		return FOUND_NOTHING;
	if (n->shape == SHAPE_NAMESPACE)
		return FOUND_EMPTY;
	if (n->service.n >= sizeof text)
		return FOUND_NOTHING;
	for (size_t i = 0; i < n->service.n; i++) {
		dashes += n->service.p[i] == '-';
		twice |= i && n->service.p[i] == '-' && n->service.p[i - 1] == '-';
	}
	for (size_t i = 0; i < n->service.n; i++)
		text[i] = n->service.p[i] != '-' ? n->service.p[i] : dashes == 3 && !twice ? '.' : ':';
	return fl_ip_parse((struct fl_str){ text, n->service.n }, &hit->pod) ? FOUND_POD : FOUND_NOTHING;
}

enum k8s_found fl_k8s_look(const struct kubernetes *k, const struct k8s_name *n, struct k8s_hit *hit)
{
	*hit = (struct k8s_hit){ .name = *n };
	if (n->shape == SHAPE_APEX || n->shape == SHAPE_KIND)
		return FOUND_EMPTY;
	if (n->shape == SHAPE_BAD || !fl_k8s_exposed(k, n->ns))
		return FOUND_NOTHING;
	if (n->pod)
		return look_pod(k, n, hit);
	return n->shape == SHAPE_NAMESPACE ? FOUND_EMPTY : look_service(k, n, hit);
}

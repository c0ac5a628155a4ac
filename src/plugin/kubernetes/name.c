#include "plugin/kubernetes/kubernetes.h"

enum { LABELS = 8 };

static struct fl_str unscored(struct fl_str s)
{
	return s.n && s.p[0] == '_' ? (struct fl_str){ s.p + 1, s.n - 1 } : s;
}

void fl_k8s_name(struct k8s_name *n, struct fl_name qname, struct fl_name zone)
{
	struct fl_str label[LABELS];
	const uint8_t *p = qname.wire, *end = p + qname.len - zone.len;
	unsigned count = 0;
	*n = (struct k8s_name){ .zone = { end, zone.len } };
	for (; p < end; p += 1u + *p)
		label[count++ % LABELS] = (struct fl_str){ (const char *)p + 1, *p };
#define FROM_END(i) label[(count - 1 - (i)) % LABELS]
	if (!count) {
		n->shape = SHAPE_APEX;
		return;
	}
	struct fl_str kind = FROM_END(0);
	n->pod = fl_str_ieq(kind, FL_STR("pod"));
	n->dns_version = count == 1 && fl_str_ieq(kind, FL_STR("dns-version"));
	n->ns_dns = count == 2 && fl_str_ieq(kind, FL_STR("dns")) && fl_str_ieq(FROM_END(1), FL_STR("ns"));
	if ((!n->pod && !fl_str_ieq(kind, FL_STR("svc"))) || count > 5) {
		n->shape = SHAPE_BAD;
		return;
	}
	n->shape = count == 1 ? SHAPE_KIND : count == 2 ? SHAPE_NAMESPACE : SHAPE_SERVICE;
	if (count > 1)
		n->ns = FROM_END(1);
	if (count > 2)
		n->service = FROM_END(2);
	if (count == 4)
		n->endpoint = FROM_END(3);
	if (count == 5) {
		n->proto = unscored(FROM_END(3));
		n->port = unscored(FROM_END(4));
	}
#undef FROM_END
}

struct fl_name fl_k8s_join(struct fl_arena *a, const struct fl_str *label, unsigned n, struct fl_name zone)
{
	uint8_t *to = fl_alloc(a, FL_NAME_MAX + 1), *p = to;
	struct fl_name none = { 0 };
	if (!to)
		return none;
	for (unsigned i = 0; i < n; i++)
		for (struct fl_str rest = label[i], one; rest.n;) {
			rest = fl_str_cut(rest, '.', &one);
			if (!one.n || one.n > FL_LABEL_MAX || (size_t)(p - to) + one.n + 1 + zone.len > FL_NAME_MAX)
				return none;
			*p++ = (uint8_t)one.n;
			memcpy(p, one.p, one.n);
			p += one.n;
		}
	memcpy(p, zone.wire, zone.len);
	return (struct fl_name){ to, (uint8_t)(p - to + zone.len) };
}

/* The name grammar (CoreDNS plugin/kubernetes/parse.go): labels are read from the zone to the left. */
#include "plugin/kubernetes/kubernetes.h"

void fl_k8s_labels(struct fl_k8s_labels *l, struct fl_name name)
{
	l->n = 0;
	for (unsigned o = 0; o + 1 < name.len; o += name.wire[o] + 1u)
		l->at[l->n++] = (uint8_t)o;
	l->at[l->n] = (uint8_t)(name.len - 1);
}

const struct fl_k8s_zone *fl_k8s_zone(const struct fl_k8s *k, struct fl_name name, const struct fl_k8s_labels *l)
{
	const struct fl_k8s_zone *best = NULL;
	for (unsigned i = 0; i < k->nzone; i++) {
		const struct fl_k8s_zone *z = &k->zone[i];
		if (z->labels > l->n || (best && best->labels >= z->labels))
			continue;
		unsigned at = l->at[l->n - z->labels];
		if (fl_name_eq((struct fl_name){ name.wire + at, (uint8_t)(name.len - at) }, z->name))
			best = z;
	}
	return best;
}

struct fl_name fl_k8s_tail(struct fl_name name, const struct fl_k8s_zone *z)
{
	return (struct fl_name){ name.wire + (name.len - z->name.len), z->name.len };
}

static bool is_word(struct fl_str s, const char *word, size_t n)
{
	return s.n == n && fl_str_ieq(s, (struct fl_str){ word, n });
}

static struct fl_str bare(struct fl_str s)
{
	return s.n && s.p[0] == '_' ? (struct fl_str){ s.p + 1, s.n - 1 } : s;
}

static bool scored(struct fl_str s) { return s.n && s.p[0] == '_'; }

static struct fl_str label_at(struct fl_name name, const struct fl_k8s_labels *l, int i)
{
	unsigned at = l->at[i];
	return (struct fl_str){ (const char *)name.wire + at + 1, name.wire[at] };
}

/* topozone.pin|prefer._zone: what stands left of the directive, dots and all, is the zone. */
static void parse_topo(struct fl_k8s_req *r, struct fl_name name, const struct fl_k8s_labels *l, int last)
{
	struct fl_str how = label_at(name, l, last - 1);
	r->prefer = is_word(how, "prefer", 6);
	if (!is_word(label_at(name, l, last), "_zone", 5) || (!r->prefer && !is_word(how, "pin", 3))) {
		r->shape = FL_K8S_BAD;
		return;
	}
	r->topo = name.wire;
	r->ntopo = l->at[last - 1];
}

/* Labels 0 .. last stand left of the service. */
static void parse_rest(struct fl_k8s_req *r, struct fl_name name, const struct fl_k8s_labels *l, int last, bool multicluster,
		       bool zonal)
{
	struct fl_str a = label_at(name, l, last), b = last ? label_at(name, l, last - 1) : FL_STR("");
	if (!last) {
		r->endpoint = a;
	} else if (last == 1 && (!multicluster || scored(a) || scored(b))) {
		r->protocol = bare(a);
		r->port = bare(b);
		r->ported = true;
	} else if (last == 1) {
		r->cluster = a;
		r->endpoint = b;
	} else if (zonal && !multicluster && r->shape == FL_K8S_SVC) {
		parse_topo(r, name, l, last);
	} else {
		r->shape = FL_K8S_BAD;
	}
}

void fl_k8s_parse(struct fl_k8s_req *r, struct fl_name name, const struct fl_k8s_labels *l, unsigned zone_labels, bool multicluster,
		  bool zonal)
{
	int last = l->n - (int)zone_labels - 1;
	*r = (struct fl_k8s_req){ .shape = FL_K8S_EMPTY };
	if (last < 0)
		return;
	struct fl_str kind = label_at(name, l, last--);
	r->kind = last < 0 ? FL_STR("") : kind;         /* CoreDNS knows nothing of svc.ZONE itself */
	r->shape = is_word(kind, "svc", 3) ? FL_K8S_SVC : is_word(kind, "pod", 3) ? FL_K8S_POD : FL_K8S_BAD;
	if (last < 0)
		r->shape = r->shape == FL_K8S_BAD ? FL_K8S_BAD : FL_K8S_EMPTY;
	if (last < 0 || r->shape == FL_K8S_BAD)
		return;
	r->ns = label_at(name, l, last--);
	if (last < 0)
		return;
	r->service = label_at(name, l, last);
	r->key = name.wire + l->at[last];
	r->nkey = (uint8_t)(r->service.n + r->ns.n + 2);
	if (--last >= 0)
		parse_rest(r, name, l, last, multicluster, zonal);
}

bool fl_k8s_pod_ip(struct fl_str label, struct fl_ip *ip)
{
	char text[FL_LABEL_MAX];
	unsigned dashes = 0;
	bool pair = false;
	if (label.n > sizeof text || memchr(label.p, '.', label.n))
		return false;
	for (size_t i = 0; i < label.n; i++) {
		dashes += label.p[i] == '-';
		pair |= i && label.p[i] == '-' && label.p[i - 1] == '-';
	}
	char to = dashes == 3 && !pair ? '.' : ':';
	for (size_t i = 0; i < label.n; i++)
		text[i] = label.p[i] == '-' ? to : label.p[i];
	return fl_ip_parse((struct fl_str){ text, label.n }, ip);
}

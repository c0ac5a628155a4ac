/* Protobuf objects of the API server → inputs of the store. Field numbers: k8s.io/api and apimachinery, generated.proto. Strings
 * are spans into the bytes; arrays are counted first and lie in the arena. managedFields, half of each object, are stepped over in
 * one jump. */
#include "kube/decode.h"
#include "kube/proto.h"
#include <errno.h>
#include <time.h>

#define SERVICE_NAME "kubernetes.io/service-name"
#define MC_SERVICE_NAME "multicluster.kubernetes.io/service-name"
#define MC_CLUSTER "multicluster.kubernetes.io/source-cluster"
#define TRIGGER "endpoints.kubernetes.io/last-change-trigger-time"
#define INITIAL_END "k8s.io/initial-events-end"

static unsigned count(struct fl_pb b, uint32_t number)
{
	struct fl_pb_field f;
	unsigned n = 0;
	while (fl_pb_next(&b, &f))
		n += f.number == number && f.wire == 2;
	return n;
}

static void *array(struct fl_arena *a, unsigned n, size_t size, bool *full)
{
	void *p = fl_zalloc(a, n * size + 1);
	*full |= !p;
	return p;
}

/* map<string,string>: one entry */
static void entry(struct fl_pb b, struct fl_str *key, struct fl_str *value)
{
	struct fl_pb_field f;
	*key = *value = FL_STR("");
	while (fl_pb_next(&b, &f))
		if (f.number == 1)
			*key = fl_pb_str(&f);
		else if (f.number == 2)
			*value = fl_pb_str(&f);
}

static unsigned digits(const char *p, int n)
{
	unsigned v = 0;
	for (int i = 0; i < n; i++)
		v = v * 10 + (unsigned)(p[i] - '0');
	return v;
}

/* RFC 3339 with a fraction, "2026-11-24T10:00:00.123456789Z" or with an offset → Unix ns; 0: none. */
uint64_t fl_decode_time(struct fl_str s)
{
	static const char shape[] = "dddd-dd-ddTdd:dd:dd";
	if (s.n < sizeof shape)
		return 0;
	for (size_t i = 0; i < sizeof shape - 1; i++)
		if (shape[i] == 'd' ? s.p[i] < '0' || s.p[i] > '9' : s.p[i] != shape[i])
			return 0;
	struct tm t = { .tm_year = (int)digits(s.p, 4) - 1900, .tm_mon = (int)digits(s.p + 5, 2) - 1,
			.tm_mday = (int)digits(s.p + 8, 2), .tm_hour = (int)digits(s.p + 11, 2), .tm_min = (int)digits(s.p + 14, 2),
			.tm_sec = (int)digits(s.p + 17, 2) };
	uint64_t ns = 0, unit = 100000000;
	size_t i = sizeof shape - 1;
	if (s.p[i] == '.')
		for (i++; i < s.n && s.p[i] >= '0' && s.p[i] <= '9'; i++, unit /= 10)
			ns += (uint64_t)(s.p[i] - '0') * unit;
	int64_t at = timegm(&t);
	if (i + 6 <= s.n && (s.p[i] == '+' || s.p[i] == '-') && s.p[i + 3] == ':') {
		int64_t off = digits(s.p + i + 1, 2) * 3600 + digits(s.p + i + 4, 2) * 60;
		at -= s.p[i] == '+' ? off : -off;
	} else if (i >= s.n || s.p[i] != 'Z') {
		return 0;
	}
	return at > 0 ? (uint64_t)at * 1000000000u + ns : 0;
}

struct meta_extra { struct fl_str service, mc_service, cluster; uint64_t trigger_ns; };

/* ObjectMeta */
static void meta(struct fl_decoded *d, struct fl_arena *a, struct fl_pb b, struct meta_extra *x, bool labels, bool *full)
{
	struct fl_pb_field f;
	if (labels)
		d->label = array(a, count(b, 11), sizeof *d->label, full);
	while (!*full && fl_pb_next(&b, &f)) {
		struct fl_str key, value;
		switch (f.number) {
		case 1: d->meta.name = fl_pb_str(&f); break;
		case 3: d->meta.ns = fl_pb_str(&f); break;
		case 5: d->meta.uid = fl_pb_str(&f); break;
		case 6: d->meta.rv = fl_pb_str(&f); break;
		case 9: d->deleting = true; break;
		case 11:
			entry(f.bytes, &key, &value);
			if (labels && f.wire == 2)
				d->label[d->nlabel++] = (struct fl_label_in){ key, value };
			if (fl_str_is(key, SERVICE_NAME))
				x->service = value;
			else if (fl_str_is(key, MC_SERVICE_NAME))
				x->mc_service = value;
			else if (fl_str_is(key, MC_CLUSTER))
				x->cluster = value;
			break;
		case 12:
			entry(f.bytes, &key, &value);
			if (fl_str_is(key, TRIGGER))
				x->trigger_ns = fl_decode_time(value);
			else if (fl_str_is(key, INITIAL_END))
				d->initial_end = fl_str_is(value, "true");
			break;
		}
	}
}

/* ServicePort: 1 name 2 protocol 3 port 6 appProtocol; EndpointPort: 1 name 2 protocol 3 port 4 appProtocol */
static struct fl_port_in port(struct fl_pb b, uint32_t app)
{
	struct fl_port_in p = { .port = -1 };
	struct fl_pb_field f;
	while (fl_pb_next(&b, &f))
		if (f.number == 1)
			p.name = fl_pb_str(&f);
		else if (f.number == 2)
			p.protocol = fl_pb_str(&f);
		else if (f.number == 3)
			p.port = (int32_t)f.value;
		else if (f.number == app)
			p.app_protocol = fl_pb_str(&f);
	return p;
}

static bool service_spec(struct fl_service_in *s, struct fl_arena *a, struct fl_pb b, bool *full)
{
	struct fl_pb_field f;
	struct fl_str first = FL_STR("");
	unsigned nips = count(b, 18);
	s->port = array(a, count(b, 1), sizeof *s->port, full);
	s->external = array(a, count(b, 5) + 256, sizeof *s->external, full);   /* and room for the load balancer's */
	s->cluster_ip = array(a, nips + 1, sizeof *s->cluster_ip, full);
	while (!*full && fl_pb_next(&b, &f))
		switch (f.number) {
		case 1: if (f.wire == 2) s->port[s->nport++] = port(f.bytes, 6); break;
		case 3: first = fl_pb_str(&f); break;
		case 4: s->type = fl_pb_str(&f); break;
		case 5: if (f.wire == 2) s->external[s->nexternal++] = fl_pb_str(&f); break;
		case 10: s->external_name = fl_pb_str(&f); break;
		case 13: s->publish_not_ready = f.value; break;
		case 18: if (f.wire == 2) s->cluster_ip[s->ncluster_ip++] = fl_pb_str(&f); break;
		}
	if (!s->ncluster_ip && !*full)  /* "" too: not allocated yet */
		s->cluster_ip[s->ncluster_ip++] = first;
	return !b.bad;
}

/* ServiceStatus: loadBalancer 1 { ingress 1 { ip 1, hostname 2 } } */
static void service_status(struct fl_service_in *s, struct fl_pb b)
{
	struct fl_pb_field lb, in, f;
	unsigned most = s->nexternal + 255;
	while (fl_pb_next(&b, &lb))
		for (struct fl_pb l = lb.bytes; lb.number == 1 && fl_pb_next(&l, &in);) {
			struct fl_str ip = FL_STR(""), host = FL_STR("");
			for (struct fl_pb i = in.bytes; in.number == 1 && fl_pb_next(&i, &f);)
				if (f.number == 1)
					ip = fl_pb_str(&f);
				else if (f.number == 2)
					host = fl_pb_str(&f);
			if ((ip.n || host.n) && s->nexternal < most)
				s->external[s->nexternal++] = ip.n ? ip : host;
		}
}

/* One is what there is nearly always; where more come, the array doubles. */
static void add_address(struct fl_endpoint_in *e, struct fl_arena *a, struct fl_str address, bool *full)
{
	unsigned n = e->naddress;
	if (!(n & (n - 1))) {           /* 0, 1, 2, 4 ...: no room for another */
		struct fl_str *more = array(a, n ? 2 * n : 1, sizeof *more, full);
		if (*full)
			return;
		fl_put_bytes(more, e->address, n * sizeof *more);
		e->address = more;
	}
	e->address[e->naddress++] = address;
}

static struct fl_endpoint_in endpoint(struct fl_arena *a, struct fl_pb b, bool *full)
{
	struct fl_endpoint_in e = { .flags = FL_EP_READY | FL_EP_SERVING };     /* what is absent */
	struct fl_pb_field f, g;
	while (!*full && fl_pb_next(&b, &f)) {
		switch (f.number) {
		case 1: if (f.wire == 2) add_address(&e, a, fl_pb_str(&f), full); break;
		case 2:
			for (struct fl_pb c = f.bytes; fl_pb_next(&c, &g);) {
				static const uint8_t bits[] = { 0, FL_EP_READY, FL_EP_SERVING, FL_EP_TERMINATING };
				uint8_t bit = g.number < FL_COUNT(bits) ? bits[g.number] : 0;
				e.flags = (uint8_t)(g.value ? e.flags | bit : e.flags & ~bit);
			}
			break;
		case 3: e.hostname = fl_pb_str(&f); break;
		case 4:
			for (struct fl_pb r = f.bytes; fl_pb_next(&r, &g);)
				if (g.number == 3)
					e.pod = fl_pb_str(&g);
			break;
		case 6: e.node = fl_pb_str(&f); break;
		case 7: e.zone = fl_pb_str(&f); break;
		}
	}
	return e;
}

static bool slice(struct fl_decoded *d, struct fl_arena *a, struct fl_pb b, bool *full)
{
	struct fl_slice_in *s = &d->slice;
	struct fl_pb_field f;
	s->ep = array(a, count(b, 2), sizeof *s->ep, full);
	s->port = array(a, count(b, 3), sizeof *s->port, full);
	while (!*full && fl_pb_next(&b, &f))
		switch (f.number) {
		case 2: if (f.wire == 2) s->ep[s->nep++] = endpoint(a, f.bytes, full); break;
		case 3: if (f.wire == 2) s->port[s->nport++] = port(f.bytes, 4); break;
		case 4: s->address_type = fl_pb_str(&f); break;
		}
	return !b.bad;
}

/* PodStatus: 6 podIP, 12 podIPs { 1 ip } */
static void pod_status(struct fl_pod_in *p, struct fl_arena *a, struct fl_pb b, bool *full)
{
	struct fl_pb_field f, g;
	struct fl_str one = FL_STR("");
	unsigned most = count(b, 12) + 1;
	p->ip = array(a, most, sizeof *p->ip, full);
	while (!*full && fl_pb_next(&b, &f))
		if (f.number == 6)
			one = fl_pb_str(&f);
		else if (f.number == 12)
			for (struct fl_pb i = f.bytes; fl_pb_next(&i, &g);)
				if (g.number == 1 && p->nip < most)
					p->ip[p->nip++] = fl_pb_str(&g);
	if (!p->nip && one.n && !*full)
		p->ip[p->nip++] = one;
}

int fl_decode_proto(struct fl_decoded *d, struct fl_arena *a, enum fl_kind kind, const uint8_t *p, size_t n)
{
	struct fl_pb b = fl_pb(p, n);
	struct fl_pb_field f;
	struct meta_extra x = { 0 };
	struct fl_pb status = { 0 };
	bool full = false, ok = true;
	unsigned seen_meta = 0;
	*d = (struct fl_decoded){ .kind = kind };
	if (kind == FL_KIND_SLICE || kind == FL_KIND_MCSLICE)
		ok = slice(d, a, b, &full);
	while (!full && fl_pb_next(&b, &f)) {
		if (f.number == 1 && f.wire == 2 && !seen_meta++)
			meta(d, a, f.bytes, &x, kind == FL_KIND_POD, &full);
		else if (f.number == 2 && f.wire == 2 && kind == FL_KIND_SERVICE && !d->service.external)
			ok &= service_spec(&d->service, a, f.bytes, &full);
		else if (f.number == 3 && f.wire == 2)
			status = f.bytes;
	}
	if (full)
		return -ENOMEM;
	if (b.bad || !ok)
		return -EBADMSG;
	switch (kind) {
	case FL_KIND_SERVICE:
		if (!d->service.external)       /* no spec: a bookmark */
			break;
		service_status(&d->service, status);
		d->service.meta = d->meta;
		break;
	case FL_KIND_SLICE:
	case FL_KIND_MCSLICE:
		d->slice.meta = d->meta;
		d->slice.service = kind == FL_KIND_SLICE ? x.service : x.mc_service;
		d->slice.cluster = x.cluster;
		d->slice.trigger_ns = x.trigger_ns;
		break;
	case FL_KIND_POD:
		pod_status(&d->pod, a, status, &full);
		d->pod.meta = d->meta;
		d->pod.label = d->label;
		d->pod.nlabel = d->nlabel;
		break;
	default:
		break;
	}
	return full ? -ENOMEM : 0;
}

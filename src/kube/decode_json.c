/* JSON objects → inputs of the store, through cJSON. Strings are copied into the arena: the tree goes with the call. */
#include "kube/json.h"
#include "kube/proto.h"
#include <cjson/cJSON.h>
#include <errno.h>
#include <stdio.h>

/* What a reader of a tree needs: where copies go, and whether that is full. */
struct reader { struct fl_arena *a; bool full; };

static cJSON *parse(const char *p, size_t n)
{
	return memchr(p, 0, n) ? NULL : cJSON_ParseWithLength(p, n);    /* cJSON would stop at a NUL */
}

static struct fl_str text(struct reader *r, const cJSON *o, const char *key)
{
	const cJSON *v = cJSON_GetObjectItemCaseSensitive(o, key);
	if (!cJSON_IsString(v))
		return FL_STR("");
	struct fl_str s = fl_arena_str(r->a, fl_str(v->valuestring));
	r->full |= !s.p;
	return s.p ? s : FL_STR("");
}

static const cJSON *child(const cJSON *o, const char *key) { return cJSON_GetObjectItemCaseSensitive(o, key); }

/* An array, or NULL: what stands in the place of one is no list. */
static const cJSON *list_of(const cJSON *o, const char *key)
{
	const cJSON *v = child(o, key);
	return cJSON_IsArray(v) ? v : NULL;
}

static unsigned size(const cJSON *list)
{
	int n = list ? cJSON_GetArraySize(list) : 0;
	return n > 0 ? (unsigned)n : 0;
}

static void *array(struct reader *r, unsigned n, size_t each)
{
	void *p = fl_zalloc(r->a, n * each + 1);
	r->full |= !p;
	return p;
}

/* An array of strings; *n its length. */
static struct fl_str *texts(struct reader *r, const cJSON *list, unsigned *n)
{
	struct fl_str *to = array(r, size(list), sizeof *to);
	const cJSON *v;
	*n = 0;
	cJSON_ArrayForEach(v, list) {
		if (r->full || !cJSON_IsString(v))
			continue;
		struct fl_str s = fl_arena_str(r->a, fl_str(v->valuestring));
		r->full |= !s.p;
		if (s.p)
			to[(*n)++] = s;
	}
	return to;
}

static struct fl_label_in *labels(struct reader *r, const cJSON *map, unsigned *n)
{
	unsigned most = 0;
	const cJSON *v;
	cJSON_ArrayForEach(v, map)
		most++;
	struct fl_label_in *to = array(r, most, sizeof *to);
	*n = 0;
	cJSON_ArrayForEach(v, map)
		if (!r->full && cJSON_IsString(v) && v->string) {
			struct fl_label_in l = { fl_arena_str(r->a, fl_str(v->string)),
						 fl_arena_str(r->a, fl_str(v->valuestring)) };
			r->full |= !l.key.p || !l.value.p;
			to[*n] = l;
			*n += !r->full;
		}
	return to;
}

static struct fl_str label(const struct fl_decoded *d, const char *key)
{
	for (unsigned i = 0; i < d->nlabel; i++)
		if (fl_str_is(d->label[i].key, key))
			return d->label[i].value;
	return FL_STR("");
}

static struct fl_port_in *ports(struct reader *r, const cJSON *list, unsigned *n)
{
	struct fl_port_in *to = array(r, size(list), sizeof *to);
	const cJSON *v;
	*n = 0;
	cJSON_ArrayForEach(v, list) {
		const cJSON *port = child(v, "port");
		double number = cJSON_IsNumber(port) ? port->valuedouble : -1;
		if (r->full || !cJSON_IsObject(v))
			continue;
		to[(*n)++] = (struct fl_port_in){ text(r, v, "name"), text(r, v, "protocol"), text(r, v, "appProtocol"),
						  number >= 0 && number <= 65535 ? (int32_t)number : -1 };
	}
	return to;
}

static void service(struct reader *r, struct fl_service_in *s, const cJSON *o)
{
	const cJSON *spec = child(o, "spec"), *v, *ingress = list_of(child(child(o, "status"), "loadBalancer"), "ingress");
	unsigned n;
	s->type = text(r, spec, "type");
	s->external_name = text(r, spec, "externalName");
	s->publish_not_ready = cJSON_IsTrue(child(spec, "publishNotReadyAddresses"));
	s->port = ports(r, list_of(spec, "ports"), &s->nport);
	s->cluster_ip = texts(r, list_of(spec, "clusterIPs"), &s->ncluster_ip);
	if (!s->ncluster_ip && (s->cluster_ip = array(r, 1, sizeof *s->cluster_ip))) {  /* "" too: not allocated yet */
		s->cluster_ip[0] = text(r, spec, "clusterIP");
		s->ncluster_ip = 1;
	}
	struct fl_str *ext = texts(r, list_of(spec, "externalIPs"), &n);
	s->external = array(r, n + size(ingress), sizeof *s->external);
	if (r->full)
		return;
	fl_put_bytes(s->external, ext, n * sizeof *ext);
	cJSON_ArrayForEach(v, ingress) {
		struct fl_str ip = text(r, v, "ip"), host = text(r, v, "hostname");
		if (ip.n || host.n)
			s->external[n++] = ip.n ? ip : host;
	}
	s->nexternal = n;
}

static struct fl_endpoint_in endpoint(struct reader *r, const cJSON *o)
{
	const cJSON *c = child(o, "conditions");
	struct fl_endpoint_in e = { .hostname = text(r, o, "hostname"), .node = text(r, o, "nodeName"), .zone = text(r, o, "zone"),
				    .pod = text(r, child(o, "targetRef"), "name") };
	e.address = texts(r, list_of(o, "addresses"), &e.naddress);
	e.flags = (uint8_t)((cJSON_IsFalse(child(c, "ready")) ? 0 : FL_EP_READY) |
			    (cJSON_IsFalse(child(c, "serving")) ? 0 : FL_EP_SERVING) |
			    (cJSON_IsTrue(child(c, "terminating")) ? FL_EP_TERMINATING : 0));
	return e;
}

static void slice(struct reader *r, struct fl_slice_in *s, const cJSON *o)
{
	const cJSON *list = list_of(o, "endpoints"), *v;
	s->address_type = text(r, o, "addressType");
	s->port = ports(r, list_of(o, "ports"), &s->nport);
	s->ep = array(r, size(list), sizeof *s->ep);
	cJSON_ArrayForEach(v, list)
		if (!r->full && cJSON_IsObject(v))
			s->ep[s->nep++] = endpoint(r, v);
}

static void pod(struct reader *r, struct fl_pod_in *p, const cJSON *o)
{
	const cJSON *status = child(o, "status"), *list = list_of(status, "podIPs"), *v;
	p->ip = array(r, size(list) + 1, sizeof *p->ip);
	cJSON_ArrayForEach(v, list)
		if (!r->full && cJSON_IsString(child(v, "ip")))
			p->ip[p->nip++] = text(r, v, "ip");
	if (!r->full && !p->nip && cJSON_IsString(child(status, "podIP")))
		p->ip[p->nip++] = text(r, status, "podIP");
}

int fl_decode_json(struct fl_decoded *d, struct fl_arena *a, enum fl_kind kind, const char *p, size_t n)
{
	struct reader r = { a, false };
	cJSON *o = parse(p, n);
	*d = (struct fl_decoded){ .kind = kind };
	if (!cJSON_IsObject(o)) {
		cJSON_Delete(o);
		return -EBADMSG;
	}
	const cJSON *m = child(o, "metadata"), *notes = child(m, "annotations");
	d->meta = (struct fl_meta_in){ text(&r, m, "namespace"), text(&r, m, "name"), text(&r, m, "uid"),
				       text(&r, m, "resourceVersion") };
	d->deleting = cJSON_IsString(child(m, "deletionTimestamp"));
	d->label = labels(&r, child(m, "labels"), &d->nlabel);
	d->initial_end = fl_str_is(text(&r, notes, "k8s.io/initial-events-end"), "true");
	switch (kind) {
	case FL_KIND_SERVICE:
		service(&r, &d->service, o);
		d->service.meta = d->meta;
		break;
	case FL_KIND_SLICE:
	case FL_KIND_MCSLICE:
		slice(&r, &d->slice, o);
		d->slice.meta = d->meta;
		d->slice.service =
		    label(d, kind == FL_KIND_SLICE ? "kubernetes.io/service-name" : "multicluster.kubernetes.io/service-name");
		d->slice.cluster = label(d, "multicluster.kubernetes.io/source-cluster");
		d->slice.trigger_ns = fl_decode_time(text(&r, notes, "endpoints.kubernetes.io/last-change-trigger-time"));
		break;
	case FL_KIND_POD:
		pod(&r, &d->pod, o);
		d->pod.meta = d->meta;
		d->pod.label = d->label;
		d->pod.nlabel = d->nlabel;
		break;
	case FL_KIND_IMPORT:            /* spec of a ServiceImport, in the shape of a service */
		d->service.type = text(&r, child(o, "spec"), "type");
		d->service.cluster_ip = texts(&r, list_of(child(o, "spec"), "ips"), &d->service.ncluster_ip);
		d->service.port = ports(&r, list_of(child(o, "spec"), "ports"), &d->service.nport);
		d->service.meta = d->meta;
		break;
	default:
		break;
	}
	cJSON_Delete(o);
	return r.full ? -ENOMEM : 0;
}

/* ---- events, list heads, Status ---- */

static bool colon_follows(const char *p, size_t n, size_t i)
{
	while (i < n && (p[i] == ' ' || p[i] == '\n' || p[i] == '\t' || p[i] == '\r'))
		i++;
	return i < n && p[i] == ':';
}

bool fl_json_top(const char *p, size_t n, const char *key, struct fl_str *out)
{
	int depth = 0;
	bool string = false, hit = false;
	size_t text_at = 0, value_at = 0, klen = strlen(key);
	for (size_t i = 0; i < n; i++) {
		if (string && p[i] == '\\') {
			i++;
		} else if (string && p[i] == '"') {
			string = false;
			*out = (struct fl_str){ p + text_at, i - text_at };
			if (depth == 1 && hit)
				return true;
			hit |= depth == 1 && out->n == klen && !memcmp(out->p, key, klen) && colon_follows(p, n, i + 1);
		} else if (string) {
			continue;
		} else if (p[i] == '"') {
			string = true;
			text_at = i + 1;
		} else if (p[i] == '{' || p[i] == '[') {
			if (depth++ == 1)
				value_at = i;
		} else if (p[i] == '}' || p[i] == ']') {
			*out = (struct fl_str){ p + value_at, i + 1 - value_at };
			if (--depth == 1 && hit)
				return true;
		} else if (p[i] == ',' && depth == 1) {
			hit = false;
		}
	}
	return false;
}

int fl_json_event(const char *p, size_t n, struct fl_str *type, struct fl_str *object)
{
	return fl_json_top(p, n, "type", type) && fl_json_top(p, n, "object", object) ? 0 : -EBADMSG;
}

int fl_json_list_meta(const char *p, size_t n, char *rv, size_t cap_rv, char *cont, size_t cap_cont)
{
	cJSON *o = parse(p, n);
	const cJSON *v = child(o, "resourceVersion"), *c = child(o, "continue");
	snprintf(rv, cap_rv, "%s", cJSON_IsString(v) ? v->valuestring : "");
	snprintf(cont, cap_cont, "%s", cJSON_IsString(c) ? c->valuestring : "");
	cJSON_Delete(o);
	return 0;
}

static void copy(char *to, size_t cap, struct fl_str s) { snprintf(to, cap, "%.*s", FL_FMT(s)); }

static int status_json(struct fl_status *s, const char *p, size_t n)
{
	cJSON *o = parse(p, n);
	if (!cJSON_IsObject(o)) {
		cJSON_Delete(o);
		return -EBADMSG;
	}
	const cJSON *code = child(o, "code"), *details = child(o, "details"), *v = child(details, "retryAfterSeconds"), *cause;
	s->code = cJSON_IsNumber(code) && code->valuedouble > 0 && code->valuedouble < 1000 ? (int)code->valuedouble : 0;
	s->retry_after_s = cJSON_IsNumber(v) && v->valuedouble > 0 && v->valuedouble < 1e6 ? (int)v->valuedouble : 0;
	v = child(o, "reason");
	copy(s->reason, sizeof s->reason, fl_str(cJSON_IsString(v) ? v->valuestring : ""));
	v = child(o, "message");
	copy(s->message, sizeof s->message, fl_str(cJSON_IsString(v) ? v->valuestring : ""));
	cJSON_ArrayForEach(cause, list_of(details, "causes"))
		s->too_large_rv |= cJSON_IsString(child(cause, "reason")) &&
				   !strcmp(child(cause, "reason")->valuestring, "ResourceVersionTooLarge");
	cJSON_Delete(o);
	return 0;
}

/* Status: 3 message 4 reason 5 details { 4 causes { 1 reason } 5 retryAfterSeconds } 6 code */
static int status_proto(struct fl_status *s, const uint8_t *p, size_t n)
{
	struct fl_pb raw;
	struct fl_pb_field f, g, h;
	int ret = fl_pb_unwrap(p, n, &raw, NULL);
	if (ret)
		return ret;
	while (fl_pb_next(&raw, &f)) {
		if (f.number == 3)
			copy(s->message, sizeof s->message, fl_pb_str(&f));
		else if (f.number == 4)
			copy(s->reason, sizeof s->reason, fl_pb_str(&f));
		else if (f.number == 6)
			s->code = f.value < 1000 ? (int)f.value : 0;
		for (struct fl_pb d = f.bytes; f.number == 5 && fl_pb_next(&d, &g);) {
			if (g.number == 5)
				s->retry_after_s = g.value < 1000000 ? (int)g.value : 0;
			for (struct fl_pb c = g.bytes; g.number == 4 && fl_pb_next(&c, &h);)
				s->too_large_rv |= h.number == 1 && fl_str_is(fl_pb_str(&h), "ResourceVersionTooLarge");
		}
	}
	return raw.bad ? -EBADMSG : 0;
}

int fl_decode_status(struct fl_status *s, const uint8_t *p, size_t n, bool json)
{
	*s = (struct fl_status){ 0 };
	return json ? status_json(s, (const char *)p, n) : status_proto(s, p, n);
}

/* Objects for the store, from words: lists are split at commas, parts at slashes. */
#pragma once
#include "kubernetes_world.h"

enum { WORDS_MAX = 64 };
static inline unsigned split(const char *text, char at, struct fl_str *out)
{
	struct fl_str rest = fl_str(text);
	unsigned n = 0;
	while (rest.n && n < WORDS_MAX)
		rest = fl_str_cut(rest, at, &out[n++]);
	return n;
}

static inline struct fl_str part(struct fl_str s, unsigned i)
{
	struct fl_str head = s;
	for (unsigned k = 0; k <= i; k++)
		s = fl_str_cut(s, '/', &head);
	return head;
}

/* "http/TCP/80,dns/UDP/53"; "x/TCP/-" has no number. */
static inline unsigned ports_of(const char *text, struct fl_port_in *out)
{
	struct fl_str word[WORDS_MAX];
	unsigned n = split(text, ',', word);
	for (unsigned i = 0; i < n; i++) {
		int64_t v;
		out[i] = (struct fl_port_in){ .name = part(word[i], 0), .protocol = part(word[i], 1), .port = -1 };
		if (!fl_parse_int(part(word[i], 2), 0, 65535, &v))
			out[i].port = (int32_t)v;
	}
	return n;
}

static inline void put_namespace(struct world *w, const char *name)
{
	fl_store_put_namespace(w->store, &(struct fl_meta_in){ .name = fl_str(name), .rv = FL_STR("1") });
}

/* ips: "None", addresses, or "=target" for an ExternalName. */
static inline void put_service(struct world *w, bool import, const char *ns, const char *name, const char *ips, const char *ports)
{
	struct fl_str ip[WORDS_MAX];
	struct fl_port_in port[WORDS_MAX];
	struct fl_service_in in = {
	    .meta = {.ns = fl_str(ns), .name = fl_str(name), .rv = FL_STR("1")}, .cluster_ip = ip, .port = port};
	bool alias = ips[0] == '=';
	in.type = alias ? FL_STR("ExternalName") : import && !strcmp(ips, "None") ? FL_STR("Headless") : FL_STR("ClusterIP");
	in.external_name = alias ? fl_str(ips + 1) : FL_STR("");
	in.ncluster_ip = alias ? 0 : split(ips, ',', ip);
	if (!alias && !import && !in.ncluster_ip)
		ip[in.ncluster_ip++] = FL_STR("");
	in.nport = ports_of(ports, port);
	int ret = import ? fl_store_put_import(w->store, &in, NULL) : fl_store_put_service(w->store, &in, NULL);
	fl_assert(!ret);
}

/* eps: "10.0.0.1/hostname/pod/zone", a leading "!" is not ready. name: "slice" or "slice@cluster" for multicluster. */
static inline void put_slice(struct world *w, const char *ns, const char *name, const char *svc, const char *eps, const char *ports)
{
	struct fl_str word[WORDS_MAX], addr[WORDS_MAX];
	struct fl_endpoint_in ep[WORDS_MAX] = { { 0 } };
	struct fl_port_in port[WORDS_MAX];
	struct fl_str cluster;
	struct fl_str cut = fl_str(name);
	bool mc = strchr(name, '@');
	cluster = fl_str_cut(cut, '@', &cut);
	struct fl_slice_in in = {.meta = {.ns = fl_str(ns), .name = cut, .rv = FL_STR("1")},
				 .service = fl_str(svc),
				 .cluster = cluster,
				 .ep = ep,
				 .port = port,
				 .address_type = FL_STR("IPv4")};
	in.nep = split(eps, ',', word);
	for (unsigned i = 0; i < in.nep; i++) {
		bool ready = word[i].p[0] != '!';
		struct fl_str e = { word[i].p + !ready, word[i].n - !ready };
		addr[i] = part(e, 0);
		ep[i] = (struct fl_endpoint_in){.address = &addr[i],
						.naddress = 1,
						.hostname = part(e, 1),
						.pod = part(e, 2),
						.zone = part(e, 3),
						.flags = ready ? FL_EP_READY : 0};
		if (memchr(addr[i].p, ':', addr[i].n))
			in.address_type = FL_STR("IPv6");
	}
	in.nport = ports_of(ports, port);
	int ret = fl_store_put_slice(w->store, mc ? FL_KIND_MCSLICE : FL_KIND_SLICE, &in, NULL);
	fl_assert(!ret);
}

static inline void put_pod(struct world *w, const char *ns, const char *name, const char *ips, const char *label)
{
	struct fl_str ip[WORDS_MAX];
	struct fl_label_in l = { FL_STR("app"), fl_str(label) };
	struct fl_pod_in in = {
	    .meta = {.ns = fl_str(ns), .name = fl_str(name), .rv = FL_STR("1")}, .ip = ip, .label = &l, .nlabel = 1};
	in.nip = split(ips, ',', ip);
	fl_assert(!fl_store_put_pod(w->store, &in, NULL));
}

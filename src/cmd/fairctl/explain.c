/* explain: why does a name not resolve? */
#include "cmd/fairctl/explain.h"
#include "cmd/fairctl/commands.h"
#include "cmd/fairctl/resolve.h"
#include "base/clock.h"
#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

static const struct ctl_flag flags[] = {
	{ "pod", "NS/POD", "who asks; looked up in --manifests or by --kubeconfig", NULL, NULL },
	{ "resolv-conf", "FILE", "who asks: its resolv.conf", "@file", NULL },
	{ "conf", "FILE", "the server's Corefile (default: kubeadm's)", "@file", NULL },
	{ "manifests", "DIR", "the cluster's objects: a folder of manifests", "@dir", NULL },
	{ "kubeconfig", "FILE", "the cluster's objects: its API server", "@file", NULL },
	{ "context", "NAME", "of the kubeconfig", NULL, NULL },
	{ "server", "ADDR[:PORT]", "the live server: asked too, over UDP and TCP", NULL, NULL },
	{ "node-resolv-conf", "FILE", "the node's (kubelet's resolvConf)", "@file", NULL },
	{ "cluster-dns", "IP[,IP]", "kubelet's clusterDNS (default: Service kube-system/kube-dns)", NULL, NULL },
	{ "cluster-domain", "DOMAIN", "kubelet's clusterDomain", NULL, "cluster.local" },
	{ "timeout", "TIME", "how long a server may take for one question", "@time", "2s" },
	{ "offline", NULL, "no upstream is asked; what would be asked is said", NULL, NULL },
	{ NULL },
};

static int types(const struct ctl *c, struct facts *f)
{
	struct fl_str reverse = resolve_reverse(f->a, f->name);
	char type[32] = "";
	for (size_t i = 0; c->narg > 1 && c->arg[1][i] && i < sizeof type - 1; i++)
		type[i] = (char)toupper((unsigned char)c->arg[1][i]);
	f->type[0] = reverse.p ? FL_T_PTR : FL_T_A;
	f->type[1] = FL_T_AAAA;
	f->ntype = reverse.p || c->narg > 1 ? 1 : 2;
	f->name = reverse.p ? reverse : f->name;
	if (c->narg > 1 && !fl_type_parse(fl_str(type), &f->type[0]))
		return ctl_misuse(c, "\"%s\" is no type", c->arg[1]);
	return 0;
}

/* ---- the resolver of who asks ---- */

static void event(void *arg, const char *reason, bool of_pod, struct fl_str text)
{
	struct facts *f = arg;
	(void)of_pod;
	if (f->nevent < FL_COUNT(f->event))
		f->event[f->nevent++] = (struct ex_event){ reason, fl_arena_str(f->a, text) };
}

static void default_dns(struct facts *f)
{
	const struct fl_service *s = ex_service(f, FL_STR("kube-system"), FL_STR("kube-dns"));
	char text[46];
	for (unsigned i = 0; s && i < s->nip; i++)
		if (s->ip[i].len)
			fl_words_add(f->a, &f->cluster_dns, fl_arena_str(f->a, (struct fl_str){ text, fl_ip_text(text, s->ip[i].b, s->ip[i].len) }));
	if (!f->cluster_dns.n)
		fl_words_add(f->a, &f->cluster_dns, FL_STR("10.96.0.10"));
}

static int pod_resolv(const struct ctl *c, struct facts *f)
{
	const char *path = f->node_file ? f->node_file : "/etc/resolv.conf";
	struct fl_resolv host, out;
	struct fl_str text;
	struct fl_err e;
	int line;
	if (ctl_read(c, path, &text))
		return 1;
	text = ctl_keep(f->a, text);
	if (fl_resolv_parse(f->a, text, &host, &line, &e))
		return ctl_fail(c, "%s:%d: %s", path, line, e.msg);
	struct fl_node_dns node = { .host = &host, .cluster_dns = f->cluster_dns, .cluster_domain = f->cluster_domain };
	fl_pod_resolv(f->a, &node, &f->pod.dns, &out, event, f);
	f->node_servers = host.servers;
	f->resolv = fl_resolv_text(f->a, &out);
	f->elsewhere = true;
	for (unsigned i = 0; i < out.servers.n; i++)
		for (unsigned k = 0; k < f->cluster_dns.n; k++)
			f->elsewhere &= !fl_str_eq(out.servers.at[i], f->cluster_dns.at[k]);
	return 0;
}

static int resolver(const struct ctl *c, struct facts *f, const struct ex_from *from, struct fl_loop *loop)
{
	const char *path = ctl_text(c, "resolv-conf"), *bad;
	struct fl_words given = ctl_list(f->a, ctl_text(c, "cluster-dns"));
	struct fl_err e;
	int line, ret = 0;
	if ((bad = ctl_addresses(f->a, &given, &f->cluster_dns)))
		return ctl_misuse(c, "--cluster-dns: \"%s\" is no IP address", bad);
	if (!f->cluster_dns.n)
		default_dns(f);
	if (path) {
		if (ctl_read(c, path, &f->resolv))
			return 1;
		f->resolv = ctl_keep(f->a, f->resolv);
	} else if ((ret = ex_pod(c, f, from, loop, ctl_text(c, "pod"))) || (ret = pod_resolv(c, f))) {
		return ret;
	}
	if (fl_resolv_parse(f->a, f->resolv, &f->lines, &line, &e))
		return ctl_fail(c, "%s:%d: %s", path, line, e.msg);
	fl_client_parse(f->a, f->resolv, FL_GLIBC, &f->client);
	for (unsigned i = 0; !f->ns.n && i < f->client.searches.n; i++) {       /* NS.svc.DOMAIN */
		struct fl_str ns, rest = fl_str_cut(f->client.searches.at[i], '.', &ns);
		if (fl_str_starts(rest, FL_STR("svc.")))
			f->ns = ns;
	}
	return 0;
}

/* ---- asking ---- */

enum { ASKING_S = 60 };

struct asking { const struct ctl *c; struct facts *f; struct ex_world *w; int64_t timeout; uint64_t until_ns; bool dead; };

/* The live server, until it was found dead once. */
static void live(struct asking *k, struct ex_step *s)
{
	struct facts *f = k->f;
	if (!f->server.n || k->dead || f->elsewhere)
		return;
	s->live = fl_zalloc(f->a, sizeof *s->live);
	ex_probe(f, s->live, f->server.p, s, (uint64_t)k->timeout);
	k->dead = s->live->udp && s->live->tcp;
	if (!k->w && (s->live->by_udp.got || s->live->by_tcp.got))
		s->reply = s->live->by_udp.got ? s->live->by_udp : s->live->by_tcp;
}

static enum fl_answer answer_of(const struct ex_step *s)
{
	if (!s->reply.got)
		return s->unasked ? FL_ANSWER_NXDOMAIN : FL_ANSWER_SILENT;
	switch (s->reply.rcode) {
	case FL_NOERROR: return s->reply.found ? FL_ANSWER_FOUND : FL_ANSWER_NODATA;
	case FL_NXDOMAIN: return FL_ANSWER_NXDOMAIN;
	case FL_SERVFAIL: return FL_ANSWER_SERVFAIL;
	}
	return FL_ANSWER_OTHER;
}

static bool by_forward(const struct ex_step *s)
{
	for (unsigned i = 0; i < s->nhop; i++)
		if (!strcmp(s->hop[i].plugin, "forward") && s->hop[i].verdict != FL_NEXT)
			return true;
	return false;
}

static struct ex_step *step(struct asking *k, struct fl_str name, uint16_t type)
{
	struct facts *f = k->f;
	for (unsigned i = 0; i < f->nstep; i++)
		if (f->step[i].type == type && fl_str_eq(f->step[i].name, name))
			return &f->step[i];
	if (f->nstep == EX_STEPS)
		return NULL;
	struct ex_step *s = &f->step[f->nstep++];
	*s = (struct ex_step){ .name = name, .type = type, .by = "" };
	if (fl_clock_ns() > k->until_ns)
		return s;               /* silent servers cost their time: the rest stays without an answer */
	if (k->w && !f->elsewhere)
		ex_world_ask(k->w, f, s);
	live(k, s);
	if (by_forward(s) && (s->reply.other.n || answer_of(s) == FL_ANSWER_SERVFAIL || answer_of(s) >= FL_ANSWER_OTHER))
		ex_upstreams(f, s, (uint64_t)k->timeout);
	return s;
}

static struct fl_str canonical(struct fl_arena *a, struct fl_str text)
{
	uint8_t low[FL_NAME_MAX];
	struct fl_name n = fl_name_parse_in(a, text.n ? text : FL_STR("."));
	return n.len ? fl_name_text_in(a, fl_name_lower(low, n)) : FL_STR("");
}

static enum fl_answer search(struct asking *k, enum fl_libc libc, struct fl_words *names)
{
	struct fl_search s;
	struct fl_resolver client;
	struct fl_str next;
	struct facts *f = k->f;
	fl_client_parse(f->a, f->resolv, libc, &client);
	fl_search_begin(&s, f->a, libc, &client, f->name);
	while (fl_search_next(&s, &next)) {
		struct fl_str name = canonical(f->a, next);
		enum fl_answer best = FL_ANSWER_NXDOMAIN;
		for (unsigned i = 0; name.n && i < f->ntype; i++) {
			struct ex_step *st = step(k, name, f->type[i]);
			enum fl_answer got = st ? answer_of(st) : FL_ANSWER_NXDOMAIN;
			best = i && got > best ? best : got;
		}
		if (name.n)
			fl_words_add(f->a, names, name);
		/* Of a pod that asks elsewhere the whole list is shown. */
		fl_search_told(&s, f->elsewhere ? FL_ANSWER_NXDOMAIN : best);
	}
	return f->elsewhere ? FL_ANSWER_SILENT : s.result;
}

/* ---- the command ---- */

static int given(const struct ctl *c, struct facts *f, struct ex_from *from)
{
	char path[PATH_MAX];
	const char *dir = ctl_text(c, "manifests"), *config = ctl_text(c, "kubeconfig"), *context = ctl_text(c, "context");
	if (!ctl_given(c, "pod") == !ctl_given(c, "resolv-conf"))
		return ctl_misuse(c, "who asks? one of --pod and --resolv-conf is wanted");
	if (dir && config)
		return ctl_misuse(c, "--manifests and --kubeconfig do not go together");
	if (dir && !realpath(dir, path))
		return ctl_fail(c, "open %s: %s", dir, errno == ENOENT ? "no such file or directory" : strerror(errno));
	from->manifests = dir ? fl_arena_str(f->a, fl_str(path)) : FL_STR("");
	from->kubeconfig = config ? fl_str(config) : FL_STR("");
	from->context = context ? fl_str(context) : FL_STR("");
	if (config && !realpath(config, path))
		return ctl_fail(c, "open %s: %s", config, errno == ENOENT ? "no such file or directory" : strerror(errno));
	f->server = fl_str(ctl_text(c, "server"));
	f->node_file = ctl_text(c, "node-resolv-conf");
	f->cluster_domain = fl_str(ctl_text(c, "cluster-domain"));
	f->offline = ctl_on(c, "offline");
	return types(c, f);
}

static int run(struct ctl *c)
{
	static struct fl_arena a = { .limit = (size_t)1 << 30 };
	static struct facts f;
	static struct asking k;
	struct ex_from from = { 0 };
	struct ex_findings found = { .n = 0 };
	static struct fl_loop *loop;
	loop = fl_loop_create();
	f = (struct facts){ .a = &a, .name = fl_str(c->arg[0]) };
	k = (struct asking){ .c = c, .f = &f };
	int ret = given(c, &f, &from);
	if (!ret)
		ret = ctl_time(c, "timeout", &k.timeout);
	if (ret)
		return ret;
	ctl_limit(120);
	static struct fl_conf *conf;    /* static: reachable until the process ends, which frees them */
	conf = ex_conf(c, &f, ctl_text(c, "conf"), &from);
	if (!conf || ex_cluster(c, &f, &from, loop))
		return 1;
	if ((ret = resolver(c, &f, &from, loop)))
		return ret;
	bool only_live = f.server.n && f.conf.nkube && !from.manifests.n && !from.kubeconfig.n;
	if (!only_live && !(k.w = ex_world(c, &f, conf, loop)))
		return 1;
	k.until_ns = fl_clock_ns() + ASKING_S * FL_SEC;
	f.end = search(&k, FL_GLIBC, &f.glibc_names);
	f.nglibc = f.nstep;
	f.musl_end = search(&k, FL_MUSL, &f.musl_names);
	ex_diagnose(&f, &found);
	return ex_print(c, &f, &found);
}

const struct ctl_command ctl_explain = {
	.name = "explain", .about = "Why does a name not resolve in a pod?", .args = "NAME [TYPE]", .min = 1, .max = 2, .flag = flags, .json = true,
	.main = run,
};

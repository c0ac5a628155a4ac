/* A folder of manifests as a cluster: what is in the store after files come, change, break and go. The clock is virtual; the files
 * are real. */
#include "../files.h"
#include "base/clock.h"
#include "base/log.h"
#include "kube/source.h"
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>

struct world {
	char home[32], dir[64], log[65536];     /* the folder above is watched too: nobody else writes in home */
	size_t nlog;
	struct fl_loop *loop;
	struct fl_store *store;
	struct fl_source *source;
	struct fl_source_config cfg;
	struct fl_subscriber sub;
	unsigned deltas;
};

static void on_log(void *arg, const char *line, size_t n)
{
	struct world *w = arg;
	if (w->nlog + n < sizeof w->log) {
		memcpy(w->log + w->nlog, line, n);
		w->nlog += n;
	}
}

static void on_change(struct fl_subscriber *sub, enum fl_kind kind, const struct fl_object *old, const struct fl_object *now)
{
	(void)kind;
	assert_true(old || now);
	((struct world *)((char *)sub - offsetof(struct world, sub)))->deltas++;
}

static void set_up(struct world *w)
{
	memset(w, 0, sizeof *w);
	need_inotify();
	snprintf(w->home, sizeof w->home, "/tmp/fl-manifests.XXXXXX");
	assert_non_null(mkdtemp(w->home));
	snprintf(w->dir, sizeof w->dir, "%s/all", w->home);
	assert_int_equal(mkdir(w->dir, 0700), 0);
	fl_clock_virtual(1000 * FL_SEC);
	fl_log_capture(on_log, w);
	w->loop = fl_loop_create();
	struct fl_store_wants wants = { .zones = true, .pod_names = true };
	for (int k = 0; k < FL_KINDS; k++)
		wants.kind[k] = true;
	w->store = fl_store_create(&wants);
	w->sub.changed = on_change;
	fl_store_subscribe(w->store, &w->sub);
	w->cfg.manifests = fl_str(w->dir);
}

static void start(struct world *w)
{
	struct fl_err e = { "" };
	w->source = fl_source_create(w->store, w->loop, &w->cfg, &e);
	if (!w->source)
		fail_msg("%s", e.msg);
	fl_loop_advance(w->loop, FL_MS);
	fl_loop_run_until_idle(w->loop);
}

/* Changes are seen, and have settled. */
static void settle(struct world *w)
{
	fl_loop_run_until_idle(w->loop);
	fl_loop_advance(w->loop, 60 * FL_MS);
	fl_loop_run_until_idle(w->loop);
}

static void path_of(const struct world *w, const char *name, char path[256]) { snprintf(path, 256, "%s/%s", w->dir, name); }

static void put(struct world *w, const char *name, const char *text)
{
	write_in(w->dir, name, text);
}

static void drop(struct world *w, const char *name)
{
	char path[256];
	path_of(w, name, path);
	assert_int_equal(unlink(path), 0);
}

static void empty(const char *dir)
{
	DIR *d = opendir(dir);
	for (struct dirent *e; d && (e = readdir(d));) {
		char path[512];
		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
			continue;
		snprintf(path, sizeof path, "%s/%s", dir, e->d_name);
		if (unlink(path))
			empty(path);
	}
	if (d)
		closedir(d);
	rmdir(dir);
}

static void tear_down(struct world *w)
{
	fl_source_destroy(w->source);
	fl_store_destroy(w->store);
	fl_loop_destroy(w->loop);
	fl_log_capture(NULL, NULL);
	fl_clock_virtual(0);
	empty(w->home);
}

/* ---- looking ---- */

static const struct fl_service *service(struct world *w, const char *ns, const char *name)
{
	return (const struct fl_service *)fl_store_find(w->store, FL_KIND_SERVICE, fl_str(ns), fl_str(name));
}

static bool there(struct world *w, enum fl_kind kind, const char *ns, const char *name)
{
	return fl_store_find(w->store, kind, fl_str(ns), fl_str(name)) != NULL;
}

static const char *ip_of(struct world *w, const char *ns, const char *name)
{
	static char text[46];
	const struct fl_service *s = service(w, ns, name);
	if (!s || !s->nip || !s->ip[0].len)
		return "-";
	fl_ip_text(text, s->ip[0].b, s->ip[0].len);
	return text;
}

struct listing { char text[4096]; size_t n; const char *ns, *service; };

static int by_text(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

static void on_slice(void *arg, const struct fl_object *o)
{
	struct listing *l = arg;
	const struct fl_slice *s = (const struct fl_slice *)o;
	if (!fl_str_is(o->ns, l->ns) || !fl_str_is(s->service, l->service))
		return;
	for (uint32_t i = 0; i < s->nep; i++) {
		char ip[46];
		fl_ip_text(ip, s->addr + i * s->alen, s->alen);
		l->n += (size_t)snprintf(l->text + l->n, sizeof l->text - l->n, "%s%s%s%s%s%s", l->n ? "\n" : "", ip,
					 s->ep[i].hostname ? " " : "", fl_slice_text(s, s->ep[i].hostname).p,
					 s->ep[i].flags & FL_EP_READY ? "" : " unready",
					 s->ep[i].flags & FL_EP_TERMINATING ? " leaving" : "");
		if (s->ep[i].zone)
			l->n +=
			    (size_t)snprintf(l->text + l->n, sizeof l->text - l->n, " in %s", fl_slice_text(s, s->ep[i].zone).p);
		for (unsigned k = 0; k < s->nport; k++)
			l->n +=
			    (size_t)snprintf(l->text + l->n, sizeof l->text - l->n, " %s:%d", s->port[k].name.p, s->port[k].port);
	}
}

/* All endpoints of a service, one a line, sorted. */
static const char *endpoints(struct world *w, const char *ns, const char *name)
{
	static char out[4096];
	static struct listing l;
	l = (struct listing){ .ns = ns, .service = name };
	fl_store_each(w->store, FL_KIND_SLICE, on_slice, &l);
	char *line[64];
	unsigned n = 0;
	for (char *p = l.text, *end; *p && n < 64; p = end) {
		end = p + strcspn(p, "\n");
		if (*end)
			*end++ = 0;
		line[n++] = p;
	}
	qsort(line, n, sizeof *line, by_text);
	out[0] = 0;
	for (unsigned i = 0; i < n; i++) {
		strncat(out, i ? "\n" : "", sizeof out - strlen(out) - 1);
		strncat(out, line[i], sizeof out - strlen(out) - 1);
	}
	return out;
}

static unsigned said(const struct world *w, const char *what)
{
	unsigned n = 0;
	for (const char *p = w->log; (p = strstr(p, what)); p++)
		n++;
	return n;
}

/* ---- tests ---- */

static const char web[] = "apiVersion: v1\nkind: Service\nmetadata: {name: web, namespace: shop}\nspec: {clusterIP: 10.96.0.7, "
			  "ports: [{name: http, port: 80}]}\n";

static void test_example(void **state)
{
	(void)state;
	struct world w;
	set_up(&w);
	w.cfg.manifests = FL_STR("examples/cluster");
	start(&w);
	assert_true(fl_store_synced(w.store));
	assert_string_equal(ip_of(&w, "shop", "web"), "10.96.20.1");
	assert_int_equal(service(&w, "shop", "payments")->type, FL_EXTERNAL_NAME);
	assert_true(service(&w, "shop", "search")->headless);
	assert_int_equal(service(&w, "shop", "api")->nip, 2);
	assert_string_equal(service(&w, "shop", "ingress")->external[0].p, "203.0.113.80");
	assert_string_equal(endpoints(&w, "data", "db"), "10.244.4.20 db-0 postgres:5432\n10.244.5.21 db-1 postgres:5432\n"
			    "10.244.6.22 db-2 unready postgres:5432");
	assert_string_equal(endpoints(&w, "shop", "web"), "10.244.1.11 http:8080 metrics:9090\n10.244.2.12 http:8080 metrics:9090\n"
			    "10.244.2.13 unready http:8080 metrics:9090");
	assert_int_equal(said(&w, "[ERROR]") + said(&w, "[WARNING]"), 0);
	assert_true(fl_store_source(w.store)->connected);
	fl_source_destroy(w.source);
	w.source = NULL;
	tear_down(&w);
}

static void test_defaults(void **state)
{
	(void)state;
	struct world w;
	set_up(&w);
	put(&w, "a.yml",
	    "apiVersion: v1\nkind: Service\nmetadata: {name: web}\nspec: {clusterIP: 10.96.0.7, ports: [{port: 80}]}\n---\n"
	    "# a comment alone is no document\n---\nkind: Deployment\napiVersion: apps/v1\nmetadata: {name: x, namespace: "
	    "nowhere}\n");
	put(&w, "notes.txt", "not: [yaml");
	put(&w, ".hidden.yaml", "not: [yaml");
	start(&w);
	const struct fl_service *s = service(&w, "default", "web");
	assert_non_null(s);
	assert_int_equal(s->type, FL_CLUSTER_IP);
	assert_string_equal(s->port[0].protocol.p, "TCP");
	assert_true(there(&w, FL_KIND_NAMESPACE, "", "default"));       /* nobody wrote it down */
	assert_false(there(&w, FL_KIND_NAMESPACE, "", "nowhere"));
	assert_int_equal(said(&w, "1 objects in 1 files, 1 of other kinds"), 1);
	assert_int_equal(said(&w, "[ERROR]"), 0);
	tear_down(&w);
}

static void test_changes(void **state)
{
	(void)state;
	struct world w;
	char path[256], other[256];
	set_up(&w);
	start(&w);
	assert_true(fl_store_synced(w.store));          /* an empty folder is an empty cluster */
	put(&w, "web.yaml", web);
	settle(&w);
	assert_string_equal(ip_of(&w, "shop", "web"), "10.96.0.7");
	/* Written in place. */
	put(&w, "web.yaml",
	    "apiVersion: v1\nkind: Service\nmetadata: {name: web, namespace: shop}\nspec: {clusterIP: 10.96.0.8}\n");
	settle(&w);
	assert_string_equal(ip_of(&w, "shop", "web"), "10.96.0.8");
	/* As editors do: another file takes its name. */
	put(&w, "web.yaml~tmp", web);
	path_of(&w, "web.yaml~tmp", path);
	path_of(&w, "web.yaml", other);
	assert_int_equal(rename(path, other), 0);
	settle(&w);
	assert_string_equal(ip_of(&w, "shop", "web"), "10.96.0.7");
	/* Nothing new: nobody hears of it. */
	unsigned deltas = w.deltas;
	put(&w, "web.yaml", web);
	settle(&w);
	fl_source_relist(w.source);
	assert_int_equal(w.deltas, deltas);
	drop(&w, "web.yaml");
	settle(&w);
	assert_null(service(&w, "shop", "web"));
	assert_false(there(&w, FL_KIND_NAMESPACE, "", "shop"));
	tear_down(&w);
}

/* As kubelet changes a mounted ConfigMap: ..data points to another folder. */
static void test_swapped_link(void **state)
{
	(void)state;
	struct world w;
	char path[256], to[256];
	set_up(&w);
	for (int i = 1; i <= 2; i++) {
		char name[64], text[256];
		snprintf(name, sizeof name, "..v%d", i);
		path_of(&w, name, path);
		assert_int_equal(mkdir(path, 0755), 0);
		snprintf(name, sizeof name, "..v%d/web.yaml", i);
		snprintf(text, sizeof text, "kind: Service\nmetadata: {name: web}\nspec: {clusterIP: 10.96.0.%d}\n", i);
		put(&w, name, text);
	}
	path_of(&w, "..data", path);
	assert_int_equal(symlink("..v1", path), 0);
	path_of(&w, "web.yaml", path);
	assert_int_equal(symlink("..data/web.yaml", path), 0);
	start(&w);
	assert_string_equal(ip_of(&w, "default", "web"), "10.96.0.1");
	path_of(&w, "..data_tmp", path);
	path_of(&w, "..data", to);
	assert_int_equal(symlink("..v2", path), 0);
	assert_int_equal(rename(path, to), 0);
	settle(&w);
	assert_string_equal(ip_of(&w, "default", "web"), "10.96.0.2");
	tear_down(&w);
}

static void test_broken_file(void **state)
{
	(void)state;
	struct world w;
	set_up(&w);
	put(&w, "bad.yaml", "kind: Service\nmetadata:\n  name: x\n nonsense: [\n");
	put(&w, "web.yaml", web);
	put(&w, "z.yaml", "kind: Service\nmetadata: {name: z}\nspec: {clusterIP: 10.96.0.9}\n");
	start(&w);
	assert_true(fl_store_synced(w.store));
	assert_string_equal(ip_of(&w, "shop", "web"), "10.96.0.7");
	assert_int_equal(said(&w, "[ERROR] plugin/kubernetes: manifest "), 1);
	assert_int_equal(said(&w, "/bad.yaml: yaml: line 4: "), 1);
	assert_int_equal(said(&w, "it is left out"), 1);
	assert_int_equal(fl_store_source(w.store)->errors, 1);
	/* A good one breaks: it stays as it was, the others go on. */
	put(&w, "web.yaml", "kind: Service\nmetadata: {name: web, namespace: shop}\n---\nkind: Service\nmetadata: {}\n");
	put(&w, "z.yaml", "kind: Service\nmetadata: {name: z}\nspec: {clusterIP: 10.96.0.10}\n");
	settle(&w);
	assert_string_equal(ip_of(&w, "shop", "web"), "10.96.0.7");
	assert_string_equal(ip_of(&w, "default", "z"), "10.96.0.10");
	assert_int_equal(said(&w, "/web.yaml: line 4: a Service without metadata.name; what it said before stays"), 1);
	/* It is named once, not with every change elsewhere. */
	unsigned errors = said(&w, "[ERROR]");
	put(&w, "other.yaml", "kind: Service\nmetadata: {name: o}\nspec: {clusterIP: 10.96.0.11}\n");
	settle(&w);
	put(&w, "other.yaml", "kind: Service\nmetadata: {name: o}\nspec: {clusterIP: 10.96.0.12}\n");
	settle(&w);
	assert_int_equal(said(&w, "[ERROR]"), errors);
	put(&w, "web.yaml", "kind: Service\nmetadata: {name: web, namespace: shop}\nspec: {clusterIP: 10.96.0.20}\n");
	settle(&w);
	assert_string_equal(ip_of(&w, "shop", "web"), "10.96.0.20");
	drop(&w, "web.yaml");
	settle(&w);
	assert_string_equal(ip_of(&w, "shop", "web"), "-");
	tear_down(&w);
}

/* The same name twice: the later file counts; when it goes, the earlier one does again. */
static void test_twice(void **state)
{
	(void)state;
	struct world w;
	set_up(&w);
	put(&w, "a.yaml", web);
	start(&w);
	put(&w, "b.yaml", "kind: Service\napiVersion: v1\nmetadata: {name: web, namespace: shop}\nspec: {clusterIP: 10.96.0.99}\n");
	settle(&w);
	assert_string_equal(ip_of(&w, "shop", "web"), "10.96.0.99");
	assert_int_equal(said(&w, "b.yaml:1: Service shop/web is in a.yaml:1 too; this one counts"), 1);
	put(&w, "a.yaml", web);
	settle(&w);
	assert_string_equal(ip_of(&w, "shop", "web"), "10.96.0.99");
	drop(&w, "b.yaml");
	settle(&w);
	assert_string_equal(ip_of(&w, "shop", "web"), "10.96.0.7");
	assert_int_equal(said(&w, "this one counts"), 1);
	tear_down(&w);
}

static void test_no_address(void **state)
{
	(void)state;
	struct world w;
	set_up(&w);
	put(&w, "a.yaml",
	    "kind: Service\nmetadata: {name: web}\nspec: {ports: [{port: 80}]}\n---\nkind: Service\nmetadata: {name: ext}\n"
	    "spec: {type: ExternalName, externalName: a.example.com}\n---\nkind: Service\nmetadata: {name: head}\nspec: "
	    "{clusterIP: None}\n");
	start(&w);
	assert_int_equal(said(&w, "[WARNING]"), 1);
	assert_int_equal(said(&w, "/a.yaml:1: Service default/web has no clusterIP"), 1);
	fl_source_relist(w.source);
	assert_int_equal(said(&w, "has no clusterIP"), 1);
	assert_int_equal(service(&w, "default", "web")->ip[0].len, 0);
	/* Many: a few are named, the others counted. */
	char text[4096];
	size_t n = 0;
	for (int i = 0; i < 20; i++)
		n += (size_t)snprintf(text + n, sizeof text - n, "---\nkind: Service\nmetadata: {name: s%d}\n", i);
	put(&w, "b.yaml", text);
	settle(&w);
	assert_int_equal(said(&w, "has no clusterIP"), 6);
	assert_int_equal(said(&w, "15 more warnings like these"), 1);
	tear_down(&w);
}

static const char pods[] = "kind: List\napiVersion: v1\nitems:\n"
			   "- {kind: Service, metadata: {name: db}, spec: {clusterIP: None, selector: {app: db}, ports: [{name: "
			   "pg, port: 5432, targetPort: sql}]}}\n"
			   "- {kind: Pod, metadata: {name: db-0, labels: {app: db}}, spec: {hostname: db-0, subdomain: db,\n"
			   "   containers: [{ports: [{name: sql, containerPort: 15432}]}]},\n"
			   "   status: {phase: Running, podIP: 10.1.0.1, conditions: [{type: Ready, status: 'True'}]}}\n";

/* Endpoints come from pods as long as there are no slices, and again when those are gone. */
static void test_from_pods(void **state)
{
	(void)state;
	struct world w;
	set_up(&w);
	put(&w, "pods.yaml", pods);
	start(&w);
	assert_string_equal(endpoints(&w, "default", "db"), "10.1.0.1 db-0 pg:15432");
	assert_true(there(&w, FL_KIND_POD, "default", "db-0"));
	put(&w, "slice.yaml",
	    "kind: EndpointSlice\napiVersion: discovery.k8s.io/v1\nmetadata: {name: db-x, labels: {kubernetes.io/service-name: "
	    "db}}\n"
	    "addressType: IPv4\nendpoints: [{addresses: [10.1.0.9]}]\nports: [{name: pg, port: 1}]\n");
	settle(&w);
	assert_string_equal(endpoints(&w, "default", "db"), "10.1.0.9 pg:1");
	put(&w, "other.yaml", web);
	settle(&w);
	drop(&w, "slice.yaml");
	settle(&w);
	assert_string_equal(endpoints(&w, "default", "db"), "10.1.0.1 db-0 pg:15432");
	put(&w, "more.yaml",
	    "kind: Pod\nmetadata: {name: db-1, labels: {app: db}}\nstatus: {phase: Running, podIPs: [{ip: 10.1.0.2}]}\n");
	settle(&w);     /* not ready, and without the named port */
	assert_string_equal(endpoints(&w, "default", "db"), "10.1.0.1 db-0 pg:15432\n10.1.0.2 unready");
	/* Pods that are over are nobody's. */
	put(&w, "more.yaml",
	    "kind: Pod\nmetadata: {name: db-1, labels: {app: db}}\nstatus: {phase: Succeeded, podIPs: [{ip: 10.1.0.2}]}\n");
	settle(&w);
	assert_string_equal(endpoints(&w, "default", "db"), "10.1.0.1 db-0 pg:15432");
	assert_false(there(&w, FL_KIND_POD, "default", "db-1"));
	/* With a Node object anywhere, pods need one of their own. */
	put(&w, "node.yaml", "kind: Node\nmetadata: {name: n1, labels: {topology.kubernetes.io/zone: z1}}\n");
	settle(&w);
	assert_string_equal(endpoints(&w, "default", "db"), "");
	put(&w, "more.yaml",
	    "kind: Pod\nmetadata: {name: db-1, labels: {app: db}}\nspec: {nodeName: n1}\nstatus: {podIPs: [{ip: 10.1.0.2}]}\n");
	settle(&w);
	assert_string_equal(endpoints(&w, "default", "db"), "10.1.0.2 unready in z1");
	tear_down(&w);
}

static void test_selectors(void **state)
{
	(void)state;
	struct world w;
	set_up(&w);
	w.cfg.labels = FL_STR("tier=front,app in (web, shop)");
	w.cfg.namespace_labels = FL_STR("team");
	put(&w, "a.yaml",
	    "kind: Service\nmetadata: {name: web, namespace: shop, labels: {tier: front, app: web}}\nspec: {clusterIP: 10.96.0.1, "
	    "selector: {app: web}}\n---\nkind: Service\nmetadata: {name: db, namespace: shop, labels: {tier: back}}\nspec: "
	    "{clusterIP: 10.96.0.2}\n---\n"
	    "kind: Pod\nmetadata: {name: p, namespace: shop, labels: {app: web}}\nstatus: {podIP: 10.1.0.1, conditions: [{type: "
	    "Ready, status: 'True'}]}\n---\n"
	    "kind: Namespace\nmetadata: {name: shop, labels: {team: a}}\n---\nkind: Namespace\nmetadata: {name: other}\n---\n"
	    "kind: ConfigMap\nmetadata: {name: c, namespace: third}\n");
	start(&w);
	assert_non_null(service(&w, "shop", "web"));
	assert_null(service(&w, "shop", "db"));
	assert_true(there(&w, FL_KIND_NAMESPACE, "", "shop"));
	assert_false(there(&w, FL_KIND_NAMESPACE, "", "other"));
	assert_false(there(&w, FL_KIND_NAMESPACE, "", "default"));      /* nothing is implied when labels are asked for */
	assert_false(there(&w, FL_KIND_POD, "shop", "p"));
	/* A slice carries its service's labels, whatever those of the pods. */
	assert_string_equal(endpoints(&w, "shop", "web"), "10.1.0.1");
	tear_down(&w);
}

static void test_multicluster(void **state)
{
	(void)state;
	struct world w;
	set_up(&w);
	put(&w, "mc.yaml",
	    "kind: ServiceImport\napiVersion: multicluster.x-k8s.io/v1alpha1\nmetadata: {name: web, namespace: shop}\n"
	    "spec: {type: ClusterSetIP, ips: [10.97.0.1], ports: [{name: http, port: 80, protocol: TCP}]}\n---\n"
	    "kind: EndpointSlice\napiVersion: discovery.k8s.io/v1\naddressType: IPv4\nendpoints: [{addresses: [10.9.0.1]}]\n"
	    "metadata: {name: web-1, namespace: shop, labels: {multicluster.kubernetes.io/service-name: web, "
	    "multicluster.kubernetes.io/source-cluster: east}}\n");
	start(&w);
	for (int round = 0; round < 2; round++) {
		const struct fl_service *s =
		    (const struct fl_service *)fl_store_find(w.store, FL_KIND_IMPORT, FL_STR("shop"), FL_STR("web"));
		const struct fl_slice *v =
		    (const struct fl_slice *)fl_store_find(w.store, FL_KIND_MCSLICE, FL_STR("shop"), FL_STR("web-1"));
		assert_non_null(s);
		assert_int_equal(s->nip, 1);
		assert_non_null(v);
		assert_string_equal(v->service.p, "web");
		assert_string_equal(v->cluster.p, "east");
		assert_string_equal(
		    ((const struct fl_slice *)fl_store_find(w.store, FL_KIND_SLICE, FL_STR("shop"), FL_STR("web-1")))->service.p,
		    "");
		put(&w, "more.yaml", web);      /* and still there when it is only touched */
		settle(&w);
	}
	assert_null(fl_store_find(w.store, FL_KIND_IMPORT, FL_STR("shop"), FL_STR("nobody")));
	tear_down(&w);
}

static void test_folder(void **state)
{
	(void)state;
	struct world w;
	struct fl_err e;
	char away[80];
	set_up(&w);
	struct fl_source_config none = { .manifests = FL_STR("/nonexistent/folder") },
				odd = { .manifests = fl_str(w.dir), .labels = FL_STR("a in b") };
	assert_null(fl_source_create(w.store, w.loop, &none, &e));
	assert_string_equal(e.msg, "manifests /nonexistent/folder: No such file or directory");
	assert_null(fl_source_create(w.store, w.loop, &odd, &e));
	assert_non_null(strstr(e.msg, "found 'b' expected: '('"));
	put(&w, "web.yaml", web);
	start(&w);
	/* The folder goes away: what it said stays. */
	snprintf(away, sizeof away, "%s.away", w.dir);
	assert_int_equal(rename(w.dir, away), 0);
	settle(&w);
	assert_string_equal(ip_of(&w, "shop", "web"), "10.96.0.7");
	assert_false(fl_store_source(w.store)->connected);
	assert_int_equal(said(&w, "No such file or directory; what it said before stays"), 1);
	assert_int_equal(mkdir(w.dir, 0755), 0);
	put(&w, "new.yaml", "kind: Service\nmetadata: {name: new}\nspec: {clusterIP: 10.96.0.30}\n");
	settle(&w);
	assert_string_equal(ip_of(&w, "default", "new"), "10.96.0.30");
	assert_null(service(&w, "shop", "web"));
	assert_true(fl_store_source(w.store)->connected);
	tear_down(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_example),	 cmocka_unit_test(test_defaults),    cmocka_unit_test(test_changes),
	    cmocka_unit_test(test_swapped_link), cmocka_unit_test(test_broken_file), cmocka_unit_test(test_twice),
	    cmocka_unit_test(test_no_address),	 cmocka_unit_test(test_from_pods),   cmocka_unit_test(test_selectors),
	    cmocka_unit_test(test_multicluster), cmocka_unit_test(test_folder) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}

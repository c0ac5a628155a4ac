/* The kubernetes plugin: the index under events, and answers where text of a case cannot reach. */
#include "../exposed.h"
#include "base/clock.h"
#include "kubernetes_objects.h"
#include "plugin/kubernetes/metrics.h"

static struct world w;
static const struct fl_store_wants all = {
    .kind = {true, true, true, true, true, true}, .pod_names = true, .zones = true, .pod_labels = true};

static void expect_at(int line, const char *name, const char *type, const char *want)
{
	const char *got = world_ask_text(&w, name, type);
	if (strcmp(got, want))
		fail_msg("line %d: %s %s\nwant %s\n got %s", line, name, type, want, got);
}
#define expect(name, type, want) expect_at(__LINE__, name, type, want)

static void expect_head_at(int line, const char *name, const char *type, const char *want)
{
	const char *got = world_ask_text(&w, name, type);
	if (strncmp(got, want, strlen(want)))
		fail_msg("line %d: %s %s\nwant %s\n got %s", line, name, type, want, got);
}
#define expect_head(name, type, want) expect_head_at(__LINE__, name, type, want)

static int up(void **state)
{
	(void)state;
	fl_clock_virtual(1000 * FL_SEC);
	world_begin(&w, &all);
	world_zone(&w, "cluster.local");
	world_zone(&w, "in-addr.arpa");
	world_zone(&w, "ip6.arpa");
	world_zone(&w, "clusterset.local");
	w.zone[3].multicluster = true;
	w.k.pods = FL_K8S_PODS_VERIFIED;
	world_index(&w);
	world_synced(&w);
	put_namespace(&w, "shop");
	fl_store_flush(w.store);
	return 0;
}

static int down(void **state)
{
	(void)state;
	world_end(&w);
	fl_clock_virtual(0);
	return 0;
}

static void flush(void) { fl_store_flush(w.store); }

/* ---- the index ---- */

static void events(void **state)
{
	(void)state;
	expect_head("web.shop.svc.cluster.local", "A", "NXDOMAIN aa live\nns cluster.local. 5 SOA");
	put_slice(&w, "shop", "web-1", "web", "10.1.0.1", "http/TCP/80");       /* before its service */
	put_service(&w, false, "shop", "web", "10.96.0.1", "http/TCP/80");
	flush();
	expect("web.shop.svc.cluster.local", "A", "NOERROR aa live\nan web.shop.svc.cluster.local. 5 A 10.96.0.1");
	expect("10-1-0-1.web.shop.svc.cluster.local", "A", "NOERROR aa live\nan 10-1-0-1.web.shop.svc.cluster.local. 5 A 10.1.0.1");
	put_service(&w, false, "shop", "web", "10.96.0.2", "http/TCP/80");
	expect_head("web.shop.svc.cluster.local", "A",
		    "NOERROR aa live\nan web.shop.svc.cluster.local. 5 A 10.96.0.1"); /* not published yet */
	flush();
	expect_head("web.shop.svc.cluster.local", "A", "NOERROR aa live\nan web.shop.svc.cluster.local. 5 A 10.96.0.2");
	expect_head("1.0.96.10.in-addr.arpa", "PTR", "NXDOMAIN");
	expect("2.0.96.10.in-addr.arpa", "PTR", "NOERROR aa live\nan 2.0.96.10.in-addr.arpa. 5 PTR web.shop.svc.cluster.local.");
	put_slice(&w, "shop", "web-1", "web", "10.1.0.7", "http/TCP/80");
	put_slice(&w, "shop", "web-2", "web", "10.1.0.8", "http/TCP/80");
	flush();
	expect_head("10-1-0-1.web.shop.svc.cluster.local", "A", "NXDOMAIN");
	expect_head("10-1-0-7.web.shop.svc.cluster.local", "A", "NOERROR");
	expect("7.0.1.10.in-addr.arpa", "PTR",
	       "NOERROR aa live\nan 7.0.1.10.in-addr.arpa. 5 PTR 10-1-0-7.web.shop.svc.cluster.local.");
	put_slice(&w, "shop", "web-2", "api", "10.1.0.8", "http/TCP/80");       /* moved to another service */
	flush();
	expect_head("10-1-0-8.web.shop.svc.cluster.local", "A", "NXDOMAIN");
	expect("8.0.1.10.in-addr.arpa", "PTR",
	       "NOERROR aa live\nan 8.0.1.10.in-addr.arpa. 5 PTR 10-1-0-8.api.shop.svc.cluster.local.");
	fl_store_remove(w.store, FL_KIND_SERVICE, FL_STR("shop"), FL_STR("web"));
	fl_store_remove(w.store, FL_KIND_SLICE, FL_STR("shop"), FL_STR("web-2"));
	flush();
	expect_head("web.shop.svc.cluster.local", "A", "NXDOMAIN");
	expect_head("8.0.1.10.in-addr.arpa", "PTR", "NXDOMAIN");
	expect_head("7.0.1.10.in-addr.arpa", "PTR", "NOERROR");         /* slices without their service still name addresses */
	fl_store_remove(w.store, FL_KIND_NAMESPACE, FL_STR(""), FL_STR("shop"));
	flush();
	expect_head("7.0.1.10.in-addr.arpa", "PTR", "NXDOMAIN");
	expect_head("shop.svc.cluster.local", "A", "NXDOMAIN");
	put_namespace(&w, "shop");
	flush();
	expect_head("shop.svc.cluster.local", "A", "NOERROR aa live\nns");
}

static void serial(void **state)
{
	(void)state;
	put_service(&w, false, "shop", "web", "10.96.0.1", "");
	flush();
	expect("cluster.local", "SOA", "NOERROR aa live\nan cluster.local. 5 SOA ns.dns.cluster.local. hostmaster.cluster.local. "
	       "1700001000 7200 1800 86400 5");
	expect("clusterset.local", "SOA",
	       "NOERROR aa live\nan clusterset.local. 5 SOA ns.dns.clusterset.local. hostmaster.clusterset.local. "
	       "1700001000 7200 1800 86400 5");
	fl_clock_virtual(1010 * FL_SEC);
	put_service(&w, false, "shop", "web", "10.96.0.2", "");         /* CoreDNS: a new cluster IP does not move it */
	flush();
	expect_head("cluster.local", "SOA",
		    "NOERROR aa live\nan cluster.local. 5 SOA ns.dns.cluster.local. hostmaster.cluster.local. 1700001010");
	fl_clock_virtual(1020 * FL_SEC);
	put_service(&w, true, "shop", "imp", "10.97.0.2", "");
	flush();
	expect_head("cluster.local", "SOA",
		    "NOERROR aa live\nan cluster.local. 5 SOA ns.dns.cluster.local. hostmaster.cluster.local. 1700001010");
	expect_head("clusterset.local", "SOA",
		    "NOERROR aa live\nan clusterset.local. 5 SOA ns.dns.clusterset.local. hostmaster.clusterset.local. 1700001020");
}

/* 3000 services, all found, all removed again; tables shrink and grow around graves. */
static void many(void **state)
{
	(void)state;
	enum { N = 3000 };
	char name[32], ip[32], q[64];
	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < N; i++) {
			snprintf(name, sizeof name, "s%d", i);
			snprintf(ip, sizeof ip, "10.%d.%d.%d", round, i >> 8, i & 255);
			put_service(&w, false, "shop", name, ip, "");
			if (i % 97 == 0)
				flush();
		}
		flush();
		for (int i = 0; i < N; i += 13) {
			snprintf(q, sizeof q, "S%d.Shop.svc.cluster.local", i);
			snprintf(ip, sizeof ip, " 10.%d.%d.%d", round, i >> 8, i & 255);
			assert_non_null(strstr(world_ask_text(&w, q, "A"), ip));
			snprintf(q, sizeof q, "%d.%d.%d.10.in-addr.arpa", i & 255, i >> 8, round);
			snprintf(name, sizeof name, " s%d.shop.", i);
			assert_non_null(strstr(world_ask_text(&w, q, "PTR"), name));
			q[strlen(q) - 1] = 'a';
		}
		expect_head("0.0.9.10.in-addr.arpa", "PTR", "NXDOMAIN");
	}
	for (int i = 0; i < N; i++) {
		snprintf(name, sizeof name, "s%d", i);
		fl_store_remove(w.store, FL_KIND_SERVICE, FL_STR("shop"), fl_str(name));
	}
	flush();
	expect_head("s7.shop.svc.cluster.local", "A", "NXDOMAIN");
}

static void duplicate_vip(void **state)
{
	(void)state;
	put_service(&w, false, "shop", "zeta", "10.96.0.1", "");
	put_service(&w, false, "shop", "alpha", "10.96.0.1", "");
	put_service(&w, false, "hidden", "aaa", "10.96.0.1", "");
	flush();
	expect("1.0.96.10.in-addr.arpa", "PTR", "NOERROR aa live\nan 1.0.96.10.in-addr.arpa. 5 PTR alpha.shop.svc.cluster.local.");
	fl_store_remove(w.store, FL_KIND_SERVICE, FL_STR("shop"), FL_STR("alpha"));
	flush();
	expect("1.0.96.10.in-addr.arpa", "PTR", "NOERROR aa live\nan 1.0.96.10.in-addr.arpa. 5 PTR zeta.shop.svc.cluster.local.");
}

static void reverse_six(void **state)
{
	(void)state;
	put_slice(&w, "shop", "a", "web", "5678:ABCD::5,5678:abcd::", "");
	put_slice(&w, "shop", "b", "", "10.1.0.3", "");         /* no service: CoreDNS makes a name that does not pack */
	put_service(&w, false, "shop", "web", "None", "");
	flush();
	expect("5.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.D.C.B.A.8.7.6.5.ip6.arpa", "PTR",
	       "NOERROR aa live\nan 5.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.D.C.B.A.8.7.6.5.ip6.arpa. 5 PTR "
	       "5678-ABCD--5.web.shop.svc.cluster.local.");
	expect_head("5678-abcd--5.web.shop.svc.cluster.local", "AAAA", "NOERROR aa live\nan");
	expect("5678-abcd--0.web.shop.svc.cluster.local", "AAAA",
	       "NOERROR aa live\nan 5678-abcd--0.web.shop.svc.cluster.local. 5 AAAA 5678:abcd::");
	expect_head("5678-abcd-0-0-0-0-0-0.web.shop.svc.cluster.local", "AAAA", "NXDOMAIN");
	expect_head("3.0.1.10.in-addr.arpa", "PTR", "NXDOMAIN");
}

/* ---- before the first sync ---- */

static void unsynced(void **state)
{
	(void)state;
	struct fl_store_wants wants = all;
	world_end(&w);
	world_begin(&w, &wants);
	world_zone(&w, "cluster.local");
	world_zone(&w, "in-addr.arpa");
	world_index(&w);
	put_namespace(&w, "shop");
	put_service(&w, false, "shop", "web", "10.96.0.1", "");
	flush();
	assert_false(fl_plugin_kubernetes.ready(&w.k));
	expect_head("web.shop.svc.cluster.local", "A", "NOERROR aa live\nan");
	expect_head("nope.shop.svc.cluster.local", "A", "SERVFAIL aa live\nns cluster.local. 5 SOA");
	expect_head("svc.cluster.local", "A", "NOERROR aa live\nns");
	expect_head("dns-version.cluster.local", "TXT", "NOERROR aa live\nan");
	w.k.fall = (struct fl_fall){ .on = true, .all = true };
	expect_head("9.0.96.10.in-addr.arpa", "PTR", "SERVFAIL aa live\nns in-addr.arpa.");     /* CoreDNS asks upstream */
	assert_int_equal(w.asked_outside, 0);
	expect_head("nope.shop.svc.cluster.local", "A", "NOERROR\nan nope.shop.svc.cluster.local. 77 A");
	world_synced(&w);
	assert_true(fl_plugin_kubernetes.ready(&w.k));
	expect_head("9.0.96.10.in-addr.arpa", "PTR", "NOERROR");
	assert_int_equal(w.asked_outside, 2);
}

/* ---- endpoints ---- */

static void srv(void **state)
{
	(void)state;
	put_service(&w, false, "shop", "db", "None", "x/TCP/1");
	put_slice(&w, "shop", "db-1", "db", "10.1.0.1/a,10.1.0.2/a,!10.1.0.3/c", "sql/TCP/3306,mon/TCP/9104,none/TCP/-");
	put_slice(&w, "shop", "db-2", "db", "fd00::1/a", "sql/TCP/3306");
	flush();
	/* Seven items: 100 / 7. The same target and port is one record, the same target and address one address. */
	expect("db.shop.svc.Cluster.local", "SRV", "NOERROR aa live\n"
	       "an db.shop.svc.Cluster.local. 5 SRV 0 14 3306 a.db.shop.svc.Cluster.local.\n"
	       "an db.shop.svc.Cluster.local. 5 SRV 0 14 9104 a.db.shop.svc.Cluster.local.\n"
	       "ar a.db.shop.svc.Cluster.local. 5 A 10.1.0.1\nar a.db.shop.svc.Cluster.local. 5 A 10.1.0.2\n"
	       "ar a.db.shop.svc.Cluster.local. 5 AAAA fd00::1");
	expect("_mon._tcp.db.shop.svc.cluster.local", "SRV", "NOERROR aa live\n"
	       "an _mon._tcp.db.shop.svc.cluster.local. 5 SRV 0 50 9104 a.db.shop.svc.cluster.local.\n"
	       "ar a.db.shop.svc.cluster.local. 5 A 10.1.0.1\nar a.db.shop.svc.cluster.local. 5 A 10.1.0.2");
	expect_head("_none._tcp.db.shop.svc.cluster.local", "SRV", "NOERROR aa live\nns");
	expect_head("_sql._udp.db.shop.svc.cluster.local", "SRV", "NXDOMAIN");
	expect("_MON._TCP.db.shop.svc.cluster.local", "A", "NOERROR aa live\n"
	       "an _MON._TCP.db.shop.svc.cluster.local. 5 A 10.1.0.1\nan _MON._TCP.db.shop.svc.cluster.local. 5 A 10.1.0.2");
	expect_head("_mon._tcp.db.shop.svc.cluster.local", "AAAA", "NOERROR aa live\nns");
}

/* More endpoints than a message holds: cut, with TC, and never out of memory. */
static void too_many(void **state)
{
	(void)state;
	enum { SLICES = 80, EACH = 60 };
	char eps[4096], name[32];
	put_service(&w, false, "shop", "big", "None", "");
	put_service(&w, false, "shop", "twins", "None", "");
	for (int s = 0; s < SLICES; s++) {
		for (int twin = 0; twin < 2; twin++) {
			size_t n = 0;
			for (int i = 0; i < EACH; i++)
				n += (size_t)snprintf(eps + n, sizeof eps - n, "%s10.%d.%d.%d/%s", i ? "," : "", twin, s, i,
						      twin ? "twin" : "");
			snprintf(name, sizeof name, "%s-%d", twin ? "twins" : "big", s);
			put_slice(&w, "shop", name, twin ? "twins" : "big", eps, "a/TCP/1,b/TCP/2,c/TCP/3");
		}
	}
	flush();
	static const char *const types[] = { "A", "AAAA", "SRV", "TXT" };
	for (unsigned t = 0; t < FL_COUNT(types); t++) {
		expect_head("big.shop.svc.cluster.local", types[t], "NOERROR");
		expect_head("twins.shop.svc.cluster.local", types[t], "NOERROR");
		expect_head("twin.twins.shop.svc.cluster.local", types[t], "NOERROR");
		expect_head("_a._tcp.big.shop.svc.cluster.local", types[t], "NOERROR");
	}
	assert_non_null(strstr(world_ask_text(&w, "big.shop.svc.cluster.local", "SRV"), " tc"));
	assert_non_null(strstr(world_ask_text(&w, "twins.shop.svc.cluster.local", "SRV"), " tc"));
	expect_head("10-0-79-59.big.shop.svc.cluster.local", "A",
		    "NOERROR aa live\nan 10-0-79-59.big.shop.svc.cluster.local. 5 A 10.0.79.59");
}

/* ---- aliases ---- */

static void remove_target(struct world *x)
{
	fl_store_remove(x->store, FL_KIND_SERVICE, FL_STR("shop"), FL_STR("out"));
	fl_store_flush(x->store);
	fl_store_reclaim(x->store);
}

static void aliases(void **state)
{
	(void)state;
	char name[32], target[64];
	put_service(&w, false, "shop", "web", "10.96.0.1", "");
	put_service(&w, false, "shop", "in", "=Web.shop.svc.cluster.local", "");
	put_service(&w, false, "shop", "out", "=host.example.org", "");
	put_service(&w, false, "shop", "far", "=out.shop.svc.cluster.local.", "");
	put_service(&w, false, "shop", "empty", "", "");                /* a cluster IP is not allocated yet */
	put_service(&w, false, "shop", "nons", "=ns.dns.cluster.local", "");
	put_service(&w, false, "shop", "bad", "=a..b", "");
	for (int i = 0; i < 14; i++) {
		snprintf(name, sizeof name, "c%d", i);
		snprintf(target, sizeof target, "=c%d.shop.svc.cluster.local", i + 1);
		put_service(&w, false, "shop", name, i < 13 ? target : "10.96.0.9", "");
	}
	flush();
	expect("in.shop.svc.cluster.local", "A",
	       "NOERROR aa live\nan in.shop.svc.cluster.local. 5 CNAME Web.shop.svc.cluster.local.\n"
	       "an Web.shop.svc.cluster.local. 5 A 10.96.0.1");
	expect_head("in.shop.svc.cluster.local", "AAAA", "NOERROR aa live\nns");
	expect("far.shop.svc.cluster.local", "A",
	       "NOERROR aa live\nan far.shop.svc.cluster.local. 5 CNAME out.shop.svc.cluster.local.\n"
	       "an out.shop.svc.cluster.local. 5 CNAME host.example.org.\nan host.example.org. 77 A 192.0.2.99");
	expect("far.shop.svc.cluster.local", "CNAME",
	       "NOERROR aa live\nan far.shop.svc.cluster.local. 5 CNAME out.shop.svc.cluster.local.");
	/* HTTPS: CoreDNS says NODATA. */
	expect("far.shop.svc.cluster.local", "HTTPS",
	       "NOERROR aa live\nan far.shop.svc.cluster.local. 5 CNAME out.shop.svc.cluster.local.\n"
	       "an out.shop.svc.cluster.local. 5 CNAME host.example.org.");
	expect_head("in.shop.svc.cluster.local", "HTTPS",
		    "NOERROR aa live\nan in.shop.svc.cluster.local. 5 CNAME Web.shop.svc.cluster.local.\nns cluster.local. 5 SOA");
	/* Eleven aliases are followed, twelve are not. */
	assert_non_null(strstr(world_ask_text(&w, "c2.shop.svc.cluster.local", "A"), "10.96.0.9"));
	expect_head("c1.shop.svc.cluster.local", "A", "NOERROR aa live\nns");
	expect_head("nons.shop.svc.cluster.local", "A", "NOERROR aa live\nns");
	expect_head("bad.shop.svc.cluster.local", "A", "NXDOMAIN");
	static const char *const types[] = { "A", "AAAA", "CNAME", "SRV", "TXT" };
	for (unsigned i = 0; i < FL_COUNT(types); i++)          /* CoreDNS: CNAME . */
		expect_head("empty.shop.svc.cluster.local", types[i], "NOERROR aa live\nns");
	/* The same with the lookup parked, and with the alias gone under it. */
	w.shard.park_always = true;
	expect_head("far.shop.svc.cluster.local", "A",
		    "NOERROR aa live\nan far.shop.svc.cluster.local. 5 CNAME out.shop.svc.cluster.local.");
	w.touch = true;
	w.touched = remove_target;
	expect_head("far.shop.svc.cluster.local", "A", "NOERROR aa live\nns");
}

/* ---- NS ---- */

static void selves(void **state)
{
	(void)state;
	static const struct fl_ip local[] = { { { 10, 9, 0, 1 }, 4 }, { { 0xfe, 0x80, [15] = 1 }, 16 } };
	fl_k8s_index_destroy(w.k.index);
	w.how.local = local;
	w.how.nlocal = 2;
	world_index(&w);
	expect("cluster.LOCAL", "NS", "NOERROR aa live\nan cluster.LOCAL. 5 NS ns.dns.cluster.LOCAL.\n"
	       "ar ns.dns.cluster.LOCAL. 5 A 10.9.0.1\nar ns.dns.cluster.LOCAL. 5 AAAA fe80::1");
	expect("NS.dns.cluster.LOCAL", "A", "NOERROR aa live\nan NS.dns.cluster.LOCAL. 5 A 10.9.0.1");
	put_namespace(&w, "kube-system");
	put_service(&w, false, "kube-system", "kube-dns", "10.96.0.10,fd00::a", "");
	put_slice(&w, "kube-system", "x", "kube-dns", "10.9.0.1,10.9.0.2", "");
	flush();
	expect(
	    "cluster.local", "NS",
	    "NOERROR aa live\nan cluster.local. 5 NS kube-dns.kube-system.svc.cluster.local.\n"
	    "ar kube-dns.kube-system.svc.cluster.local. 5 A 10.96.0.10\nar kube-dns.kube-system.svc.cluster.local. 5 AAAA fd00::a");
	put_service(&w, false, "kube-system", "kube-dns", "None", "");
	flush();
	expect("cluster.local", "NS", "NOERROR aa live\nan cluster.local. 5 NS 10-9-0-1.kube-dns.kube-system.svc.cluster.local.\n"
	       "an cluster.local. 5 NS 10-9-0-2.kube-dns.kube-system.svc.cluster.local.\n"
	       "ar 10-9-0-1.kube-dns.kube-system.svc.cluster.local. 5 A 10.9.0.1\n"
	       "ar 10-9-0-2.kube-dns.kube-system.svc.cluster.local. 5 A 10.9.0.2");
	fl_store_remove(w.store, FL_KIND_SLICE, FL_STR("kube-system"), FL_STR("x"));
	flush();
	expect_head("cluster.local", "NS", "NOERROR aa live\nan cluster.local. 5 NS ns.dns.cluster.local.");
}

/* ---- pods, multicluster, labels ---- */

static void pods(void **state)
{
	(void)state;
	put_pod(&w, "shop", "one", "10.1.0.1,fd00::1", "x");
	put_pod(&w, "shop", "two", "10.1.0.1", "y");
	flush();
	expect("10-1-0-1.shop.pod.cluster.local", "A", "NOERROR aa live\nan 10-1-0-1.shop.pod.cluster.local. 5 A 10.1.0.1");
	expect("FD00--1.Shop.pod.cluster.local", "AAAA", "NOERROR aa live\nan FD00--1.Shop.pod.cluster.local. 5 AAAA fd00::1");
	expect("fd00-0--1.shop.pod.cluster.local", "AAAA", "NOERROR aa live\nan fd00-0--1.shop.pod.cluster.local. 5 AAAA fd00::1");
	expect("10-1-0-1.shop.pod.cluster.local", "SRV", "NOERROR aa live\n"
	       "an 10-1-0-1.shop.pod.cluster.local. 5 SRV 0 50 0 10-1-0-1.shop.pod.cluster.local.\n"
	       "ar 10-1-0-1.shop.pod.cluster.local. 5 A 10.1.0.1");
	expect_head("10-1-0-2.shop.pod.cluster.local", "A", "NXDOMAIN");
	fl_store_remove(w.store, FL_KIND_POD, FL_STR("shop"), FL_STR("one"));
	flush();
	expect_head("10-1-0-1.shop.pod.cluster.local", "A", "NOERROR aa live\nan");
	expect_head("fd00--1.shop.pod.cluster.local", "AAAA", "NXDOMAIN");
}

static void multicluster(void **state)
{
	(void)state;
	put_service(&w, true, "shop", "imp", "None", "http/TCP/80");
	put_slice(&w, "shop", "i@east", "imp", "10.7.0.1/h", "http/TCP/80");
	put_slice(&w, "shop", "j@west", "imp", "10.8.0.1/h", "http/TCP/80");
	flush();
	expect("h.EAST.imp.shop.svc.clusterset.local", "A",
	       "NOERROR aa live\nan h.EAST.imp.shop.svc.clusterset.local. 5 A 10.7.0.1");
	expect_head("h.imp.shop.svc.clusterset.local", "A", "NXDOMAIN");
	expect_head("imp.shop.svc.cluster.local", "A", "NXDOMAIN");
	expect_head("imp.shop.svc.CLUSTERSET.local", "A", "NOERROR aa live\nan");
	expect("imp.shop.svc.clusterset.local", "SRV", "NOERROR aa live\n"
	       "an imp.shop.svc.clusterset.local. 5 SRV 0 50 80 h.east.imp.shop.svc.clusterset.local.\n"
	       "an imp.shop.svc.clusterset.local. 5 SRV 0 50 80 h.west.imp.shop.svc.clusterset.local.\n"
	       "ar h.east.imp.shop.svc.clusterset.local. 5 A 10.7.0.1\nar h.west.imp.shop.svc.clusterset.local. 5 A 10.8.0.1");
	expect("dns-version.clusterset.local", "TXT", "NOERROR aa live\nan dns-version.clusterset.local. 28800 TXT \"1.0.0\"");
}

static void expect_meta(const char *name, const char *label, const char *want)
{
	struct fl_str v = { NULL, 0 };
	w.keep = true;
	world_ask_text(&w, name, "A");
	w.keep = false;
	fl_arena_init(&w.block.a, w.block.mem, sizeof w.block.mem, NULL, 0);
	int ret = fl_k8s_meta(&w.k, &w.block.q, fl_str(label), &v);
	if (!want)
		assert_int_equal(ret, -ENOENT);
	else if (ret || !fl_str_is(v, want))
		fail_msg("%s of %s: %d '%.*s', not '%s'", label, name, ret, FL_FMT(v), want);
}

static void meta(void **state)
{
	(void)state;
	put_pod(&w, "shop", "me", "10.0.0.9", "front");
	flush();
	expect_meta("_HTTP._tcp.Web.shop.svc.cluster.local", "kubernetes/port-name", "http");
	expect_meta("_http._tcp.web.shop.svc.cluster.local", "kubernetes/protocol", "tcp");
	expect_meta("Web.shop.svc.cluster.local", "kubernetes/service", "web");
	expect_meta("web.shop.svc.cluster.local", "kubernetes/endpoint", "");
	expect_meta("e.web.shop.svc.cluster.local", "kubernetes/endpoint", "e");
	expect_meta("web.shop.svc.cluster.local", "kubernetes/kind", "svc");
	expect_meta("svc.cluster.local", "kubernetes/kind", "");
	expect_meta("web.shop.svc.cluster.local", "kubernetes/zone", NULL);
	expect_meta("h.east.imp.shop.svc.clusterset.local", "kubernetes/cluster", "east");
	expect_meta("a.b.cluster.local", "kubernetes/parse-error", "invalid query name");
	expect_meta("web.shop.svc.cluster.local", "kubernetes/parse-error", NULL);
	expect_meta("example.org", "kubernetes/service", NULL);
	expect_meta("example.org", "kubernetes/client-namespace", "shop");
	expect_meta("example.org", "kubernetes/client-pod-name", "me");
	expect_meta("example.org", "kubernetes/client-label/app", "front");
	expect_meta("example.org", "kubernetes/client-label/none", NULL);
	expect_meta("example.org", "forward/upstream", NULL);
	w.k.zonal = true;
	expect_meta("A.b.pin._zone.web.shop.svc.cluster.local", "kubernetes/zone", "a.b");
}

/* ---- metrics ---- */

static void metrics(void **state)
{
	(void)state;
	struct fl_slice s = { .trigger_ns = fl_clock_wall_ns() - 3 * FL_SEC };
	struct fl_service svc = { .headless = true };
	fl_k8s_observe_programming(&svc, &s);
	fl_k8s_metrics_add(w.store, w.k.index, FL_STR("here"));
	put_service(&w, false, "shop", "web", "10.96.0.1", "");
	fl_store_source(w.store)->events = 3;
	fl_store_source(w.store)->last_event_ns = fl_clock_ns() - 2 * FL_SEC;
	flush();
	static const char *const want[] = {
	    "coredns_kubernetes_dns_programming_duration_seconds_bucket{service_kind=\"headless_with_selector\",le=\"2.048\"} 0\n",
	    "coredns_kubernetes_dns_programming_duration_seconds_bucket{service_kind=\"headless_with_selector\",le=\"4.096\"} 1\n",
	    "fairlead_kubernetes_objects{kind=\"service\",source=\"here\"} 1\n",
	    "fairlead_kubernetes_synced{source=\"here\"} 1\n",
	    "fairlead_kubernetes_events_total{source=\"here\"} 3\n",
	    "fairlead_kubernetes_last_event_age_seconds{source=\"here\"} 2\n",
	};
	const char *shown = exposed(NULL);
	for (unsigned i = 0; i < FL_COUNT(want); i++)
		if (!strstr(shown, want[i]))
			fail_msg("not there: %s", want[i]);
	fl_k8s_metrics_drop(w.k.index);
	assert_null(strstr(exposed(NULL), "fairlead_kubernetes_synced{"));
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, up, down)
	const struct CMUnitTest tests[] = {
	    TEST(events),   TEST(serial),  TEST(many),	 TEST(duplicate_vip), TEST(reverse_six),  TEST(unsynced), TEST(srv),
	    TEST(too_many), TEST(aliases), TEST(selves), TEST(pods),	      TEST(multicluster), TEST(meta),	  TEST(metrics),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

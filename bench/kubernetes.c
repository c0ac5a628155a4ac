/* What the kubernetes plugin's index costs: bytes beyond the store, time of an event, time of an answer without packing. 10,000
 * services with 10 endpoints each, in 100 namespaces. Prints one line a figure. */
#include <malloc.h>
#include <time.h>
#include "base/rng.h"
#include "../test/unit/plugin/kubernetes_objects.h"

enum { SERVICES = 10000, EACH = 10, NAMESPACES = 100, ROUNDS = 1000000, EVENTS = 20000 };

static struct world w;
static uint8_t names[1024][FL_NAME_MAX];

static double now_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void put_endpoints(int i, int shift)
{
	char ns[16], name[32], svc[32], eps[512], *p = eps;
	for (int e = 0; e < EACH; e++)
		p += snprintf(p, 32, "%s10.%d.%d.%d", e ? "," : "", 1 + i / 250 + 40 * (e >= shift), i % 250, e + shift * 10);
	snprintf(ns, sizeof ns, "ns%d", i % NAMESPACES);
	snprintf(svc, sizeof svc, "service-%d", i);
	snprintf(name, sizeof name, "service-%d-abcde", i);
	put_slice(&w, ns, name, svc, eps, "http/TCP/8080");
}

static void ask_all(const char *what, const char *first, const char *zone, uint16_t type)
{
	char text[128];
	struct fl_name n[1024];
	for (int i = 0; i < 1024; i++) {
		int s = i * 7919 % SERVICES;
		if (type == FL_T_PTR)
			snprintf(text, sizeof text, "%d.%d.96.10.%s", s % 250, s / 250, zone);
		else
			snprintf(text, sizeof text, "%s-%d.ns%d.%s", first, s, s % NAMESPACES, zone);
		n[i] = (struct fl_name){ names[i], (uint8_t)fl_name_parse(names[i], fl_str(text)) };
	}
	w.keep = true;
	double start = now_ns();
	for (int i = 0; i < ROUNDS; i++)
		world_ask(&w, n[i & 1023], type);
	printf("%-44s %7.0f ns\n", what, (now_ns() - start) / ROUNDS);
}

int main(void)
{
	static const struct fl_store_wants wants = {
	    .kind = {[FL_KIND_NAMESPACE] = true, [FL_KIND_SERVICE] = true, [FL_KIND_SLICE] = true}};
	char ns[16], name[32], ip[32];
	world_begin(&w, &wants);
	world_zone(&w, "cluster.local");
	world_zone(&w, "in-addr.arpa");
	world_zone(&w, "ip6.arpa");
	world_synced(&w);
	for (int i = 0; i < NAMESPACES; i++) {
		snprintf(ns, sizeof ns, "ns%d", i);
		put_namespace(&w, ns);
	}
	for (int i = 0; i < SERVICES; i++) {
		snprintf(ns, sizeof ns, "ns%d", i % NAMESPACES);
		snprintf(name, sizeof name, "service-%d", i);
		snprintf(ip, sizeof ip, "10.96.%d.%d", i / 250, i % 250);
		put_service(&w, false, ns, name, ip, "http/TCP/80,https/TCP/443");
		put_endpoints(i, 0);
	}
	fl_store_flush(w.store);
	struct mallinfo2 before = mallinfo2();
	double start = now_ns();
	world_index(&w);
	double built = now_ns() - start;
	struct mallinfo2 after = mallinfo2();
	printf("%-44s %7.0f KB (store %.0f KB)\n", "index, by its own count", (double)fl_k8s_index_bytes(w.k.index) / 1024,
	       (double)fl_store_bytes(w.store) / 1024);
	printf("%-44s %7.0f KB\n", "index, by malloc's",
	       (double)(after.uordblks + after.hblkhd - before.uordblks - before.hblkhd) / 1024);
	printf("%-44s %7.1f ms\n", "built from a full store", built / 1e6);
	double alone = 0, with = 0;
	for (int pass = 0; pass < 2; pass++) {          /* the store's own part is taken away by a run without the index */
		if (pass)
			fl_k8s_index_destroy(w.k.index);
		start = now_ns();
		for (int i = 0; i < EVENTS; i++) {
			put_endpoints(i * 7919 % SERVICES, 1 + i / SERVICES + 3 * pass);
			fl_store_flush(w.store);
		}
		*(pass ? &alone : &with) = (now_ns() - start) / EVENTS;
	}
	printf("%-44s %7.0f ns (of %.0f with the store's part)\n", "slice event of 10 endpoints, flushed", with - alone, with);
	world_index(&w);
	ask_all("a name of no zone of ours (the harness)", "service", "example.org", FL_T_A);
	ask_all("A of a cluster IP", "service", "svc.cluster.local", FL_T_A);
	ask_all("AAAA of it (NODATA)", "service", "svc.cluster.local", FL_T_AAAA);
	ask_all("NXDOMAIN", "nothing", "svc.cluster.local", FL_T_A);
	ask_all("NXDOMAIN of a search list", "service", "svc.cluster.local.ns1.svc.cluster.local", FL_T_A);
	ask_all("SRV", "service", "svc.cluster.local", FL_T_SRV);
	ask_all("PTR of a cluster IP", "", "in-addr.arpa", FL_T_PTR);
	world_end(&w);
	return 0;
}

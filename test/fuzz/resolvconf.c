/* Any bytes as a resolv.conf: kubelet's reading, a pod made from it, what comes out read again; and a resolver's reading with a search. */
#include "base/err.h"
#include "pod/search.h"

static void ignore(void *arg, const char *reason, bool of_pod, struct fl_str text)
{
	(void)arg;
	(void)reason;
	(void)of_pod;
	(void)text;
}

static void pod_of(struct fl_arena *a, const struct fl_resolv *host, const char *policy)
{
	static struct fl_pod_option option[2] = { { { "ndots", 5 }, { "2", 1 } }, { { "x", 1 }, { NULL, 0 } } };
	struct fl_node_dns node = { .host = host, .cluster_domain = FL_STR("c.l") };
	struct fl_pod_dns pod = { .ns = FL_STR("n"), .name = FL_STR("p"), .policy = fl_str(policy), .config = true, .option = option, .noption = 2 };
	struct fl_resolv out, again;
	struct fl_err e;
	int line;
	fl_words_add(a, &node.cluster_dns, FL_STR("10.0.0.1"));
	fl_resolv_limits(a, &node, FL_STR("f"), ignore, NULL);
	fl_pod_resolv(a, &node, &pod, &out, ignore, NULL);
	fl_assert(out.servers.n <= FL_POD_SERVERS && out.searches.n <= FL_POD_SEARCHES);
	fl_assert(fl_words_join(a, &out.searches, " ").n <= FL_POD_SEARCH_CHARS);
	fl_assert(!fl_resolv_parse(a, fl_resolv_text(a, &out), &again, &line, &e));
	fl_assert(again.servers.n == out.servers.n);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct fl_arena a = { .limit = 256 << 20 };
	struct fl_str text = { (const char *)data, n }, name;
	struct fl_resolv host;
	struct fl_err e;
	int line;
	if (!fl_resolv_parse(&a, text, &host, &line, &e)) {
		pod_of(&a, &host, "ClusterFirst");
		pod_of(&a, &host, "Default");
	}
	for (enum fl_libc libc = FL_GLIBC; libc <= FL_NSLOOKUP && n < 4096; libc++) {
		struct fl_resolver client;
		struct fl_search s;
		fl_client_parse(&a, text, libc, &client);
		fl_assert(client.servers.n && client.ndots <= 15 && client.attempts && client.timeout_s);
		struct fl_str ask = { (const char *)data, n < 40 ? n : 40 };
		unsigned steps = 0;
		fl_search_begin(&s, &a, libc, &client, ask);
		while (fl_search_next(&s, &name)) {
			fl_search_told(&s, (enum fl_answer)(n ? data[steps % n] % (FL_ANSWER_UNREACHABLE + 1) : 2));
			fl_assert(++steps <= client.searches.n + 2);
		}
	}
	fl_arena_finish(&a);
	return 0;
}

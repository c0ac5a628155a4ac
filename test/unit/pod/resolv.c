/* kubelet's resolver of a pod: tables of cases from kubelet's code (pkg/kubelet/network/dns) and from running it. */
#include "pod/resolv.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

#define HOST "nameserver 10.0.0.2\nsearch corp.example.com example.com\noptions timeout:1 attempts:2\n"
#define CS "ns1.svc.cluster.local svc.cluster.local cluster.local"
#define HS "corp.example.com example.com"
#define DNS "10.96.0.10"

static struct fl_arena arena = { .limit = 64 << 20 };

static struct fl_words words(const char *text)
{
	struct fl_words w = { 0 };
	for (struct fl_str rest = fl_str(text ? text : ""), one; rest.n;) {
		rest = fl_str_cut(rest, ' ', &one);
		fl_words_add(&arena, &w, one);
	}
	return w;
}

struct event { char text[4096]; unsigned n; };

static void on_event(void *arg, const char *reason, bool of_pod, struct fl_str text)
{
	struct event *e = arg;
	e->n++;
	snprintf(e->text + strlen(e->text), sizeof e->text - strlen(e->text), "%s/%s: %.*s\n", reason, of_pod ? "pod" : "node", FL_FMT(text));
}

struct row {
	const char *policy;
	bool host_network;
	const char *host;                       /* NULL: no file; else its text */
	const char *dns, *domain, *node_ips;
	bool config;
	const char *servers, *searches, *options;       /* of dnsConfig; an option is name or name=value */
	const char *want_servers, *want_searches, *want_options;
	unsigned events;
};

#define CF "ClusterFirst"
static const struct row rows[] = {
	/* policies */
	{ CF, false, HOST, DNS, "cluster.local", .want_servers = DNS, .want_searches = CS " " HS, .want_options = "ndots:5" },
	{ "Default", false, HOST, DNS, "cluster.local", .want_servers = "10.0.0.2", .want_searches = HS, .want_options = "timeout:1 attempts:2" },
	{ "None", false, HOST, DNS, "cluster.local" },
	{ "None", false, HOST, DNS, "cluster.local", NULL, true, "1.2.3.4", "a.b my.c", "ndots=2 edns0", "1.2.3.4", "a.b my.c", "ndots:2 edns0" },
	{ CF, true, HOST, DNS, "cluster.local", .want_servers = "10.0.0.2", .want_searches = HS, .want_options = "timeout:1 attempts:2" },
	{ "ClusterFirstWithHostNet", true, HOST, DNS, "cluster.local", .want_servers = DNS, .want_searches = CS " " HS, .want_options = "ndots:5" },
	{ "ClusterFirstWithHostNet", false, HOST, DNS, "cluster.local", .want_servers = DNS, .want_searches = CS " " HS, .want_options = "ndots:5" },
	{ "", false, HOST, DNS, "cluster.local", .want_servers = DNS, .want_searches = CS " " HS, .want_options = "ndots:5" },
	{ "Bogus", true, HOST, DNS, "cluster.local", .want_servers = DNS, .want_searches = CS " " HS, .want_options = "ndots:5" },
	{ "Default", true, HOST, DNS, "cluster.local", .want_servers = "10.0.0.2", .want_searches = HS, .want_options = "timeout:1 attempts:2" },
	{ "None", true, HOST, DNS, "cluster.local", NULL, true, "9.9.9.9", NULL, NULL, "9.9.9.9", NULL, NULL },
	/* no cluster DNS: as Default, two events */
	{ CF, false, HOST, NULL, "cluster.local", .want_servers = "10.0.0.2", .want_searches = HS, .want_options = "timeout:1 attempts:2", .events = 2 },
	{ CF, true, HOST, NULL, "cluster.local", .want_servers = "10.0.0.2", .want_searches = HS, .want_options = "timeout:1 attempts:2" },
	{ "ClusterFirstWithHostNet", true, HOST, NULL, "cluster.local", .want_servers = "10.0.0.2", .want_searches = HS,
	  .want_options = "timeout:1 attempts:2", .events = 2 },
	/* kubelet's empty resolvConf */
	{ CF, false, NULL, NULL, "cluster.local", .want_servers = "127.0.0.1", .want_searches = ".", .events = 2 },
	{ "Default", false, NULL, DNS, "cluster.local", .want_servers = "127.0.0.1", .want_searches = "." },
	{ "Default", false, NULL, DNS, "cluster.local", "10.0.0.5 fd00::5", .want_servers = "127.0.0.1 ::1", .want_searches = "." },
	{ "Default", false, NULL, DNS, "cluster.local", "fd00::5", .want_servers = "::1", .want_searches = "." },
	{ "Default", false, NULL, DNS, "cluster.local", "10.0.0.5", true, "127.0.0.1 8.8.8.8", ". x.y", "ndots=1", "127.0.0.1 8.8.8.8", ". x.y", "ndots:1" },
	{ CF, false, NULL, DNS, "cluster.local", .want_servers = DNS, .want_searches = CS, .want_options = "ndots:5" },
	{ "None", false, NULL, DNS, "cluster.local" },
	/* cluster settings */
	{ CF, false, HOST, DNS " fd00:10:96::a", "cluster.local", .want_servers = DNS " fd00:10:96::a", .want_searches = CS " " HS, .want_options = "ndots:5" },
	{ CF, false, HOST, DNS, "", .want_servers = DNS, .want_searches = HS, .want_options = "ndots:5" },
	{ CF, false, NULL, DNS, "", .want_servers = DNS, .want_options = "ndots:5" },
	{ CF, false, HOST, DNS, "cluster.local.", .want_servers = DNS,
	  .want_searches = "ns1.svc.cluster.local. svc.cluster.local. cluster.local. " HS, .want_options = "ndots:5" },
	{ CF, false, HOST, "1.1.1.1 2.2.2.2 3.3.3.3 4.4.4.4", "cluster.local", .want_servers = "1.1.1.1 2.2.2.2 3.3.3.3", .want_searches = CS " " HS,
	  .want_options = "ndots:5", .events = 1 },
	/* dnsConfig */
	{ CF, false, HOST, DNS, "cluster.local", NULL, true, "8.8.8.8 " DNS, "extra.example.com example.com", "ndots=2 single-request-reopen",
	  DNS " 8.8.8.8", CS " " HS " extra.example.com", "ndots:2 single-request-reopen" },
	{ CF, false, HOST, DNS, "cluster.local", NULL, true, NULL, NULL, "ndots", DNS, CS " " HS, "ndots" },
	{ CF, false, HOST, DNS, "cluster.local", NULL, true, NULL, NULL, "ndots=", DNS, CS " " HS, "ndots" },
	{ CF, false, HOST, DNS, "cluster.local", NULL, true, "8.8.8.8 8.8.4.4 1.1.1.1", NULL, NULL, DNS " 8.8.8.8 8.8.4.4", CS " " HS, "ndots:5", 1 },
	{ CF, false, HOST, DNS, "cluster.local", NULL, true, NULL, NULL, NULL, DNS, CS " " HS, "ndots:5" },
	{ CF, false, HOST, DNS, "cluster.local", NULL, true, NULL, "foo.example. .", NULL, DNS, CS " " HS " foo.example. .", "ndots:5" },
	{ "None", false, HOST, DNS, "cluster.local", NULL, true, "1.2.3.4", NULL, "a=b:c", "1.2.3.4", NULL, "a:b:c" },
	{ "None", false, HOST, DNS, "cluster.local", NULL, true, "1.2.3.4 1.2.3.4", "a a b", "x=1 x=2", "1.2.3.4", "a b", "x:2" },
	{ "None", false, HOST, DNS, "cluster.local", NULL, true, NULL, NULL, "a:b=1 a=2 a:b=3", NULL, NULL, "a:b:3 a:2" },
	{ "Default", false, HOST, DNS, "cluster.local", NULL, true, NULL, NULL, "timeout=9", "10.0.0.2", HS, "timeout:9 attempts:2" },
	{ "Default", false, "nameserver 1.1.1.1\nnameserver 1.1.1.1\noptions a: b", DNS, "", NULL, true, NULL, NULL, NULL, "1.1.1.1", NULL, "a b" },
	{ "Default", false, "search a b a\n", DNS, "", NULL, true, NULL, "b c", NULL, NULL, "a b c", NULL },
	/* the node's file */
	{ "Default", false, "nameserver 1.1.1.1\nnameserver 2.2.2.2\nnameserver 3.3.3.3\nnameserver 4.4.4.4\n", .want_servers = "1.1.1.1 2.2.2.2 3.3.3.3",
	  .events = 1 },
	{ "Default", false, "nameserver 1.1.1.1\nnameserver 1.1.1.1\n", .want_servers = "1.1.1.1 1.1.1.1" },
	{ "Default", false, "search .\n" }, { "Default", false, "search one\nsearch\n" }, { "Default", false, "domain corp.example\n" },
	{ "Default", false, "search a.example. b.example. a.example ..\n", .want_searches = "a.example b.example a.example ." },
	{ "Default", false, "search one\nsearch two three\n", .want_searches = "two three" },
	{ "Default", false, "# c\n; nameserver 9.9.9.9\nnameserver 1.1.1.1 # t\n  nameserver\t2.2.2.2\nNameserver 3.3.3.3\n",
	  .want_servers = "1.1.1.1 2.2.2.2" },
	{ "Default", false, "options ndots:1 timeout:2 ndots:3\noptions edns0 timeout:5\n", .want_options = "ndots:3 timeout:5 edns0" },
	{ "Default", false, "nameserver fe80::1%eth0\nnameserver not-an-ip\n", .want_servers = "fe80::1%eth0 not-an-ip" },
	{ "Default", false, "" }, { CF, false, "", DNS, "cluster.local", .want_servers = DNS, .want_searches = CS, .want_options = "ndots:5" },
	{ "Default", false, "nameserver 1.1.1.1\r\nsearch a\r\noptions\r\n", .want_servers = "1.1.1.1", .want_searches = "a" },
	{ "Default", false, "\xc2\xa0nameserver\xe2\x80\x83" "1.1.1.1\xc2\x85x", .want_servers = "1.1.1.1" },
	{ "Default", false, "nameservers 1.1.1.1\nsearches x\noption y\nnameserver 2.2.2.2", .want_servers = "2.2.2.2" },
	{ "Default", false, "search a # b\noptions c # d\n", .want_searches = "a # b", .want_options = "c # d" },
	{ CF, false, "search cluster.local svc.cluster.local corp.example\n", DNS, "cluster.local", .want_servers = DNS,
	  .want_searches = CS " corp.example", .want_options = "ndots:5" },
	{ CF, false, "search CLUSTER.LOCAL corp.example Corp.Example\n", DNS, "cluster.local", .want_servers = DNS,
	  .want_searches = CS " CLUSTER.LOCAL corp.example Corp.Example", .want_options = "ndots:5" },
	{ CF, false, "search x x y\n", DNS, "", .want_servers = DNS, .want_searches = "x x y", .want_options = "ndots:5" },
};

static void compare(const struct row *r, const char *what, const struct fl_words *got, const char *want)
{
	struct fl_str text = fl_words_join(&arena, got, " ");
	if (!fl_str_is(text, want ? want : ""))
		fail_msg("row %d (%s): %s: \"%s\", not \"%s\"", (int)(r - rows), r->policy, what, text.p, want ? want : "");
}

static struct event resolve(const struct row *r, struct fl_resolv *out)
{
	struct event ev = { .n = 0 };
	struct fl_resolv host;
	struct fl_err e;
	int line;
	if (r->host)
		assert_int_equal(fl_resolv_parse(&arena, fl_str(r->host), &host, &line, &e), 0);
	struct fl_node_dns node = { .host = r->host ? &host : NULL, .cluster_dns = words(r->dns), .cluster_domain = fl_str(r->domain),
				    .node_ips = words(r->node_ips) };
	struct fl_pod_dns pod = { .ns = FL_STR("ns1"), .name = FL_STR("web"), .uid = FL_STR("u-1"), .policy = fl_str(r->policy),
				  .host_network = r->host_network, .config = r->config, .servers = words(r->servers),
				  .searches = words(r->searches) };
	struct fl_words options = words(r->options);
	pod.option = fl_zalloc(&arena, (options.n + 1) * sizeof *pod.option);
	for (; pod.noption < options.n; pod.noption++)
		pod.option[pod.noption].value = fl_str_cut(options.at[pod.noption], '=', &pod.option[pod.noption].name);
	fl_pod_resolv(&arena, &node, &pod, out, on_event, &ev);
	return ev;
}

static void every_row(void **state)
{
	(void)state;
	for (const struct row *r = rows; r < rows + FL_COUNT(rows); r++) {
		struct fl_resolv out;
		struct event ev = resolve(r, &out);
		compare(r, "servers", &out.servers, r->want_servers);
		compare(r, "searches", &out.searches, r->want_searches);
		compare(r, "options", &out.options, r->want_options);
		if (ev.n != r->events)
			fail_msg("row %d: %u events: %s", (int)(r - rows), ev.n, ev.text);
	}
}

static void words_of_events(void **state)
{
	(void)state;
	struct fl_resolv out;
	struct event ev = resolve(&(struct row){ CF, false, HOST, NULL, "cluster.local" }, &out);
#define FALLS "kubelet does not have ClusterDNS IP configured and cannot create Pod using \"ClusterFirst\" policy. Falling back to \"Default\" policy.\n"
	assert_string_equal(ev.text, "MissingClusterDNS/node: " FALLS "MissingClusterDNS/pod: pod: \"web_ns1(u-1)\". " FALLS);
	ev = resolve(&(struct row){ CF, false, HOST, DNS, "cluster.local", NULL, true, "1.1.1.1 2.2.2.2 3.3.3.3" }, &out);
	assert_string_equal(ev.text, "DNSConfigForming/pod: Nameserver limits were exceeded, some nameservers have been omitted, the applied nameserver "
				     "line is: 10.96.0.10 1.1.1.1 2.2.2.2\n");
}

/* n names of so many octets, blanks between. */
static const char *names(unsigned n, unsigned len)
{
	char *text = fl_alloc(&arena, n * (len + 1) + 1), *p = text;
	for (unsigned i = 0; i < n; i++) {
		memset(p, 'a', len);
		char number[12];
		size_t digits = (size_t)snprintf(number, sizeof number, "%u", i);
		memcpy(p, number, digits);
		p += len;
		*p++ = ' ';
	}
	*(n ? p - 1 : p) = 0;
	return text;
}

static const struct { unsigned host, len, config; bool cluster; unsigned left; unsigned events; const char *limit; } cuts[] = {
	{ 29, 5, 0, true, 32, 0, NULL },
	{ 30, 5, 0, true, 32, 1, "more than 29 domains" },
	{ 30, 5, 0, false, 30, 0, NULL },
	{ 33, 5, 0, false, 32, 1, "more than 32 domains" },
	{ 25, 113, 0, true, 20, 1, "more than allowed 2048 chars" },     /* 2008 characters in all */
	{ 2, 254, 0, true, 3, 1, "a search path which length is more than allowed 253 chars" },
	{ 2, 253, 0, true, 5, 0, NULL },
	{ 0, 0, 38, false, 32, 1, NULL },
};

static void searches_are_cut(void **state)
{
	(void)state;
	for (unsigned i = 0; i < FL_COUNT(cuts); i++) {
		struct fl_str host = fl_arena_printf(&arena, "search %s\n", names(cuts[i].host, cuts[i].len));
		struct row r = { cuts[i].config ? "None" : cuts[i].cluster ? CF : "Default", false, host.p, DNS, cuts[i].cluster ? "cluster.local" : "", NULL,
				 cuts[i].config > 0, NULL, names(cuts[i].config, 4), NULL };
		struct fl_resolv out;
		struct event ev = resolve(&r, &out), limit = { .n = 0 };
		if (out.searches.n != cuts[i].left || ev.n != cuts[i].events)
			fail_msg("row %u: %u left, %u events", i, out.searches.n, ev.n);
		struct fl_resolv parsed;
		struct fl_err e;
		int line;
		fl_resolv_parse(&arena, host, &parsed, &line, &e);
		struct fl_node_dns node = { .host = &parsed, .cluster_domain = fl_str(r.domain) };
		fl_resolv_limits(&arena, &node, FL_STR("/etc/resolv.conf"), on_event, &limit);
		if (limit.n != (cuts[i].limit != NULL) || (cuts[i].limit && !strstr(limit.text, cuts[i].limit)))
			fail_msg("row %u: %s", i, limit.text);
	}
}

/* Exactly 2048 characters stay; one more costs a name. */
static void characters_are_counted_with_blanks(void **state)
{
	(void)state;
	for (unsigned more = 0; more < 2; more++) {
		struct fl_str text = fl_arena_printf(&arena, "search %s %.*s\n", names(8, 253), 16 + (int)more, "bbbbbbbbbbbbbbbbbbbb");
		struct fl_resolv out;
		struct event ev = resolve(&(struct row){ "Default", false, text.p, DNS, "" }, &out);
		assert_int_equal(out.searches.n, 9 - more);
		assert_int_equal(ev.n, more);
	}
}

static void a_server_without_address(void **state)
{
	(void)state;
	struct fl_resolv r;
	struct fl_err e;
	int line;
	assert_int_not_equal(fl_resolv_parse(&arena, FL_STR("search a\nnameserver 1.1.1.1\nnameserver\n nameserver\n"), &r, &line, &e), 0);
	assert_string_equal(e.msg, "Encountered error while parsing resolv conf file. Error: nameserver list is empty ");
	assert_int_equal(line, 3);
}

static void text(void **state)
{
	(void)state;
	struct fl_resolv r = { words("1.1.1.1 ::1"), words("a b"), words("ndots:5 edns0") };
	assert_string_equal(fl_resolv_text(&arena, &r).p, "search a b\nnameserver 1.1.1.1\nnameserver ::1\noptions ndots:5 edns0\n");
	r = (struct fl_resolv){ 0 };
	assert_string_equal(fl_resolv_text(&arena, &r).p, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_row), cmocka_unit_test(words_of_events), cmocka_unit_test(searches_are_cut),
		cmocka_unit_test(characters_are_counted_with_blanks), cmocka_unit_test(a_server_without_address), cmocka_unit_test(text),
	};
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	fl_arena_finish(&arena);
	return failed;
}

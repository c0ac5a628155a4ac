/* Decoders against streams recorded from a real API server (test/live/fixtures): protobuf and JSON must say the same, in whatever
 * portions the bytes come; and foreign bytes must do no harm. */
#include "kube/decode.h"
#include "base/mem.h"
#include "base/rng.h"
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

struct seen { char text[65536]; size_t n; unsigned objects, bookmarks, ends, errors; struct fl_status status; };

static void say(struct seen *s, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	s->n += (size_t)vsnprintf(s->text + s->n, sizeof s->text - s->n, fmt, ap);
	va_end(ap);
	assert_true(s->n < sizeof s->text);
}

static int object(void *arg, enum fl_watch_type type, const struct fl_decoded *d)
{
	struct seen *s = arg;
	if (type == FL_EV_BOOKMARK) {
		s->bookmarks++;
		s->ends += d->initial_end;
		return 0;
	}
	s->objects++;
	say(s, "%d %.*s/%.*s rv %.*s%s\n", type, FL_FMT(d->meta.ns), FL_FMT(d->meta.name), FL_FMT(d->meta.rv),
	    d->deleting ? " deleting" : "");
	if (d->kind == FL_KIND_SERVICE) {
		const struct fl_service_in *v = &d->service;
		say(s, " %.*s ext %.*s pnr %d", FL_FMT(v->type), FL_FMT(v->external_name), v->publish_not_ready);
		for (unsigned i = 0; i < v->ncluster_ip; i++)
			say(s, " ip %.*s", FL_FMT(v->cluster_ip[i]));
		for (unsigned i = 0; i < v->nexternal; i++)
			say(s, " x %.*s", FL_FMT(v->external[i]));
		for (unsigned i = 0; i < v->nport; i++)
			say(s, " port %.*s/%.*s/%d", FL_FMT(v->port[i].name), FL_FMT(v->port[i].protocol), v->port[i].port);
	} else if (d->kind == FL_KIND_SLICE) {
		const struct fl_slice_in *v = &d->slice;
		say(s, " of %.*s %.*s trigger %d", FL_FMT(v->service), FL_FMT(v->address_type), v->trigger_ns != 0);
		for (unsigned i = 0; i < v->nep; i++)
			say(s, " [%.*s %.*s %.*s %.*s %d]", FL_FMT(v->ep[i].naddress ? v->ep[i].address[0] : FL_STR("-")),
			    FL_FMT(v->ep[i].hostname), FL_FMT(v->ep[i].pod), FL_FMT(v->ep[i].zone), v->ep[i].flags);
		for (unsigned i = 0; i < v->nport; i++)
			say(s, " port %.*s/%d", FL_FMT(v->port[i].name), v->port[i].port);
	} else if (d->kind == FL_KIND_POD) {
		for (unsigned i = 0; i < d->pod.nip; i++)
			say(s, " ip %.*s", FL_FMT(d->pod.ip[i]));
	}
	return 0;
}

static int error(void *arg, const struct fl_status *st)
{
	struct seen *s = arg;
	s->errors++;
	s->status = *st;
	return 0;
}

static const struct fl_stream_ops ops = { object, error };

static uint8_t *read_file(const char *name, size_t *n)
{
	char path[256];
	snprintf(path, sizeof path, "test/live/fixtures/%s", name);
	FILE *f = fopen(path, "rb");
	assert_non_null(f);
	uint8_t *p = fl_xalloc(1 << 20);
	*n = fread(p, 1, 1 << 20, f);
	fclose(f);
	return p;
}

/* Feeds a file in portions of `step` bytes. */
static void feed(struct seen *s, enum fl_kind kind, bool list, bool proto, const char *name, size_t step, char rv[64])
{
	size_t n;
	uint8_t *p = read_file(name, &n);
	struct fl_decoder *d = fl_decoder_create(kind, list, proto, 1 << 20, &ops, s);
	for (size_t at = 0; at < n; at += step)
		assert_int_equal(fl_decoder_feed(d, p + at, at + step < n ? step : n - at), 0);
	assert_int_equal(fl_decoder_end(d), 0);
	if (rv)
		snprintf(rv, 64, "%.*s", FL_FMT(fl_decoder_rv(d)));
	fl_decoder_destroy(d);
	free(p);
}

static void same(enum fl_kind kind, const char *stem, bool list)
{
	char pb[64], js[64], rv_pb[64], rv_js[64];
	static struct seen whole, other;
	snprintf(pb, sizeof pb, "%s.pb", stem);
	snprintf(js, sizeof js, "%s.json", stem);
	memset(&whole, 0, sizeof whole);
	feed(&whole, kind, list, true, pb, 1 << 20, rv_pb);
	assert_true(whole.objects > 0);
	for (unsigned i = 0; i < 4; i++) {
		static const size_t steps[] = { 1, 7, 100, 4096 };
		memset(&other, 0, sizeof other);
		feed(&other, kind, list, true, pb, steps[i], NULL);
		assert_string_equal(other.text, whole.text);
		memset(&other, 0, sizeof other);
		feed(&other, kind, list, false, js, steps[i], rv_js);
		assert_int_equal(other.objects, whole.objects);
		assert_int_equal(other.bookmarks, whole.bookmarks);
		assert_int_equal(other.ends, whole.ends);
	}
	if (list)
		assert_true(rv_pb[0] && rv_js[0]);
	else
		assert_true(whole.ends == 1);
}

static void test_recorded(void **state)
{
	(void)state;
	same(FL_KIND_SERVICE, "services.list", true);
	same(FL_KIND_SLICE, "endpointslices.list", true);
	same(FL_KIND_NAMESPACE, "namespaces.list", true);
	same(FL_KIND_POD, "pods.list", true);
	same(FL_KIND_SERVICE, "services.watchlist", false);
	same(FL_KIND_SLICE, "endpointslices.watchlist", false);
	same(FL_KIND_NAMESPACE, "namespaces.watchlist", false);
	same(FL_KIND_POD, "pods.watchlist", false);
}

/* The texts of both forms of one list, resourceVersions aside. */
static void test_proto_is_json(void **state)
{
	(void)state;
	static struct seen a, b;
	feed(&a, FL_KIND_SLICE, true, true, "endpointslices.list.pb", 4096, NULL);
	feed(&b, FL_KIND_SLICE, true, false, "endpointslices.list.json", 4096, NULL);
	assert_string_equal(a.text, b.text);
	memset(&a, 0, sizeof a);
	memset(&b, 0, sizeof b);
	feed(&a, FL_KIND_SERVICE, true, true, "services.list.pb", 4096, NULL);
	feed(&b, FL_KIND_SERVICE, true, false, "services.list.json", 4096, NULL);
	assert_string_equal(a.text, b.text);
}

static void test_status(void **state)
{
	(void)state;
	size_t n;
	static const struct { const char *name; int code; const char *reason; bool large; } want[] = {
		{ "error.forbidden", 403, "Forbidden", false }, { "error.unauthorized", 401, "Unauthorized", false },
		{ "error.invalid", 422, "Invalid", false }, { "error.toolarge", 504, "Timeout", true } };
	for (unsigned i = 0; i < FL_COUNT(want); i++)
		for (int json = 0; json < 2; json++) {
			char name[64];
			struct fl_status st;
			snprintf(name, sizeof name, "%s.%s", want[i].name, json ? "json" : "pb");
			uint8_t *p = read_file(name, &n);
			assert_int_equal(fl_decode_status(&st, p, n, json), 0);
			assert_int_equal(st.code, want[i].code);
			assert_string_equal(st.reason, want[i].reason);
			assert_int_equal(st.too_large_rv, want[i].large);
			free(p);
		}
}

/* Cut short, bits turned over: an error or other objects, never a crash or an overrun. */
static void test_damage(void **state)
{
	(void)state;
	struct fl_rng r;
	fl_rng_init(&r, 0);
	static const char *const names[] = { "services.watchlist.pb", "endpointslices.list.pb", "pods.list.json",
					    "services.watchlist.json" };
	for (unsigned f = 0; f < FL_COUNT(names); f++) {
		size_t n;
		uint8_t *p = read_file(names[f], &n), *copy = fl_xalloc(n);
		bool list = strstr(names[f], ".list.") != NULL, proto = strstr(names[f], ".pb") != NULL;
		enum fl_kind kind = names[f][0] == 's' ? FL_KIND_SERVICE : names[f][0] == 'e' ? FL_KIND_SLICE : FL_KIND_POD;
		for (int round = 0; round < 300; round++) {
			static struct seen s;
			memset(&s, 0, sizeof s);
			memcpy(copy, p, n);
			for (uint32_t k = fl_rng_below(&r, 8); k; k--)
				copy[fl_rng_below(&r, (uint32_t)n)] ^= (uint8_t)(1u << fl_rng_below(&r, 8));
			size_t len = fl_rng_below(&r, 2) ? n : fl_rng_below(&r, (uint32_t)n);
			struct fl_decoder *d = fl_decoder_create(kind, list, proto, 1 << 20, &ops, &s);
			if (!fl_decoder_feed(d, copy, len / 2))
				fl_decoder_feed(d, copy + len / 2, len - len / 2);
			fl_decoder_end(d);
			fl_decoder_destroy(d);
		}
		free(copy);
		free(p);
	}
}

static void test_too_big(void **state)
{
	(void)state;
	struct seen *s = fl_xalloc(sizeof *s);
	static const uint8_t frame[] = { 0x7f, 0xff, 0xff, 0xff };
	struct fl_decoder *d = fl_decoder_create(FL_KIND_SERVICE, false, true, 1000, &ops, s);
	assert_int_equal(fl_decoder_feed(d, frame, 4), -EMSGSIZE);
	fl_decoder_destroy(d);
	char text[4096];
	memset(text, 'x', sizeof text);
	memcpy(text, "{\"a\":\"", 6);
	d = fl_decoder_create(FL_KIND_SERVICE, false, false, 1000, &ops, s);
	assert_int_equal(fl_decoder_feed(d, (uint8_t *)text, sizeof text), -EMSGSIZE);
	fl_decoder_destroy(d);
	free(s);
}

/* Objects where lists belong, and other things that are not what they should be: left out, whatever their size. */
static void test_odd_json(void **state)
{
	(void)state;
	static const char text[] = "{\"metadata\":{\"name\":\"x\",\"labels\":[1,2,3]},\"addressType\":\"IPv4\",\"ports\":{\"a\":{"
				   "\"port\":1},\"b\":{},\"c\":{}},"
				   "\"endpoints\":[{\"addresses\":{\"a\":\"1\",\"b\":\"2\"}},7,{\"addresses\":[\"10.0.0.1\",7]}],"
				   "\"spec\":{\"ports\":{\"a\":{}},\"clusterIPs\":{\"a\":\"b\",\"c\":\"d\"},\"clusterIP\":5,"
				   "\"externalIPs\":{\"a\":\"b\"},\"ips\":{\"a\":\"b\"}},"
				   "\"status\":{\"loadBalancer\":{\"ingress\":{\"a\":{\"ip\":\"1\"}}},\"podIPs\":{\"a\":{\"ip\":"
				   "\"1\"},\"b\":{\"ip\":\"2\"}}}}";
	for (int kind = 0; kind < FL_KINDS; kind++) {
		struct fl_arena a = { .limit = 1 << 16 };
		struct fl_decoded d;
		assert_int_equal(fl_decode_json(&d, &a, (enum fl_kind)kind, text, sizeof text - 1), 0);
		assert_true(fl_str_is(d.meta.name, "x"));
		assert_int_equal(d.nlabel, 0);
		if (kind == FL_KIND_SERVICE) {
			assert_int_equal(d.service.nport + d.service.nexternal, 0);
			assert_int_equal(d.service.ncluster_ip, 1);
			assert_int_equal(d.service.cluster_ip[0].n, 0);
		} else if (kind == FL_KIND_SLICE) {
			assert_int_equal(d.slice.nport, 0);
			assert_int_equal(d.slice.nep, 2);
			assert_int_equal(d.slice.ep[0].naddress, 0);
			assert_int_equal(d.slice.ep[1].naddress, 1);
		} else if (kind == FL_KIND_POD) {
			assert_int_equal(d.pod.nip, 0);
		}
		fl_arena_finish(&a);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_recorded), cmocka_unit_test(test_proto_is_json),
					   cmocka_unit_test(test_status), cmocka_unit_test(test_damage),
					   cmocka_unit_test(test_too_big), cmocka_unit_test(test_odd_json) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}

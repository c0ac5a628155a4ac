/* k8s_decode: what an API server sends, in one form or the other. First byte: kind, list or watch, where the stream is cut. Cut or
 * whole, the objects are the same, and they go into a store. */
#pragma once
#include "kube/decode.h"

struct run { struct fl_store *store; uint64_t digest; unsigned n; };

static void mix(struct run *r, struct fl_str s)
{
	for (size_t i = 0; i < s.n; i++)
		r->digest = (r->digest ^ (uint8_t)s.p[i]) * 0x100000001b3u;
	r->digest = (r->digest ^ s.n) * 0x100000001b3u;
}

static int object(void *arg, enum fl_watch_type type, const struct fl_decoded *d)
{
	struct run *r = arg;
	r->n++;
	mix(r, d->meta.ns);
	mix(r, d->meta.name);
	r->digest += type;
	if (type == FL_EV_BOOKMARK)
		return 0;
	if (d->kind == FL_KIND_SERVICE)
		fl_store_put_service(r->store, &d->service, NULL);
	else if (d->kind == FL_KIND_SLICE)
		fl_store_put_slice(r->store, d->kind, &d->slice, NULL);
	else if (d->kind == FL_KIND_IMPORT)
		fl_store_put_import(r->store, &d->service, NULL);
	else if (d->kind == FL_KIND_POD)
		fl_store_put_pod(r->store, &d->pod, NULL);
	else
		fl_store_put_namespace(r->store, &d->meta);
	return 0;
}

static int error(void *arg, const struct fl_status *st)
{
	mix(arg, fl_str(st->reason));
	mix(arg, fl_str(st->message));
	return 0;
}

static int feed(struct run *r, const uint8_t *data, size_t size, enum fl_kind kind, bool list, bool proto, size_t step)
{
	static const struct fl_stream_ops ops = { object, error };
	struct fl_store_wants wants = { .zones = true, .nodes = true, .pod_names = true, .pod_labels = true };
	struct fl_decoder *d = fl_decoder_create(kind, list, proto, 1 << 20, &ops, r);
	int ret = 0;
	r->store = fl_store_create(&wants);
	for (size_t at = 0; at < size && !ret; at += step)
		ret = fl_decoder_feed(d, data + at, at + step < size ? step : size - at);
	if (!ret)
		ret = fl_decoder_end(d);
	mix(r, fl_decoder_rv(d));
	mix(r, fl_decoder_continue(d));
	fl_decoder_destroy(d);
	fl_store_reclaim(r->store);
	fl_store_destroy(r->store);
	return ret;
}

static int decode(const uint8_t *data, size_t size, const enum fl_kind kinds[4], bool proto)
{
	if (size < 2)
		return 0;
	uint8_t how = *data++;
	size--;
	struct run whole = { 0 }, cut = { 0 };
	int a = feed(&whole, data, size, kinds[how & 3], how & 4, proto, size);
	int b = feed(&cut, data, size, kinds[how & 3], how & 4, proto, 1 + (how >> 3));
	if ((a != 0) != (b != 0) || (!a && (whole.digest != cut.digest || whole.n != cut.n)))
		__builtin_trap();
	return 0;
}

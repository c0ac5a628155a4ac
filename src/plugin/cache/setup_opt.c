/* The options that say something of refreshing, memory and the file. Errors are CoreDNS's (plugin/cache/setup.go). */
#include "plugin/cache/cache_int.h"
#include <errno.h>
#include <stdlib.h>

int fl_cache_o_prefetch(struct cache_reading *r)
{
	int64_t v;
	if (!r->n || r->n > 3)
		return fl_setup_arg_error(r->s);
	int ret = fl_cache_number(r, r->arg[0], &v);
	if (ret)
		return ret;
	if (v < 0)
		return fl_setup_error(r->s, "prefetch amount should be positive: %lld", (long long)v);
	r->c->prefetch = v;
	if (r->n > 1 && (ret = fl_cache_duration(r, r->arg[1], "", &r->c->apart_ns)))
		return ret;
	if (r->n < 3)
		return 0;
	struct fl_str p = r->arg[2];
	uint8_t last = p.n ? (uint8_t)p.p[p.n - 1] : 0;
	/* An octet of UTF-8 is a character to CoreDNS, the one of Latin-1. */
	char text[3] = { (char)(last < 0x80 ? last : 0xc0 | last >> 6), (char)(last < 0x80 ? 0 : 0x80 | (last & 0x3f)) };
	if (last != '%')
		return fl_setup_error(r->s, "last character of percentage should be `%%`, but is: '%s'", text);
	p.n--;
	ret = fl_cache_number(r, p, &v);
	if (!ret && (v < 10 || v > 90))
		ret = fl_setup_error(r->s, "percentage should fall in range [10, 90]: %lld", (long long)v);
	r->c->percent = v;
	return ret;
}

/* ---- serve_stale ---- */

static int stale_ttl(struct cache_reading *r, struct fl_str text)
{
	int64_t ns;
	int ret = fl_cache_duration(r, text, "invalid serve_stale response TTL: ", &ns);
	if (ret)
		return ret;
	if (ns < 0)
		return fl_setup_error(r->s, "invalid negative response TTL for serve_stale");
	if (ns % (int64_t)FL_SEC)
		return fl_setup_error(r->s, "serve_stale response TTL must be a whole number of seconds");
	if (ns / (int64_t)FL_SEC > UINT32_MAX)
		return fl_setup_error(r->s, "serve_stale response TTL exceeds the DNS TTL range");
	r->c->stale_ttl_s = (uint32_t)(ns / (int64_t)FL_SEC);
	return 0;
}

static int stale_recheck(struct cache_reading *r, struct fl_str text)
{
	int64_t ns;
	int ret = fl_cache_duration(r, text, "invalid serve_stale failure recheck: ", &ns);
	if (ret)
		return ret;
	if (ns < 0)
		return fl_setup_error(r->s, "invalid negative failure recheck for serve_stale");
	if (ns > 300 * (int64_t)FL_SEC)
		return fl_setup_error(r->s, "serve_stale failure recheck cannot exceed 5 minutes");
	r->c->recheck_ns = ns;
	return 0;
}

static int stale_mode(struct cache_reading *r)
{
	char mode[64];
	struct fl_str m = r->arg[1];
	size_t n = m.n < sizeof mode ? m.n : sizeof mode;
	for (size_t i = 0; i < n; i++)
		mode[i] = (char)fl_lower((uint8_t)m.p[i]);
	struct fl_str low = { mode, n };
	bool verify = fl_str_is(low, "verify");
	if (!verify && !fl_str_is(low, "immediate"))
		return fl_setup_error(r->s, "invalid value for serve_stale refresh mode: %.*s", FL_FMT(low));
	unsigned at = 2;
	int ret = 0;
	r->c->verify = verify;
	if (verify && r->n > at) {
		ret = fl_cache_duration(r, r->arg[at++], "invalid serve_stale verify timeout: ", &r->c->verify_ns);
		if (!ret && r->c->verify_ns < 0)
			ret = fl_setup_error(r->s, "invalid negative timeout for serve_stale verify");
	} else if (!verify && r->n > 4) {
		return fl_setup_arg_error(r->s);
	}
	if (!ret && r->n > at)
		ret = stale_ttl(r, r->arg[at++]);
	if (!ret && r->n > at)
		ret = stale_recheck(r, r->arg[at]);
	return ret;
}

int fl_cache_o_serve_stale(struct cache_reading *r)
{
	struct cache *c = r->c;
	r->stale = true;
	c->stale_ns = 3600 * (int64_t)FL_SEC;
	c->verify = false;
	c->verify_ns = c->recheck_ns = c->stale_ttl_s = 0;
	if (r->n > 5)
		return fl_setup_arg_error(r->s);
	int ret = r->n ? fl_cache_duration(r, r->arg[0], "", &c->stale_ns) : 0;
	if (!ret && r->n && c->stale_ns < 0)
		ret = fl_setup_error(r->s, "invalid negative duration for serve_stale");
	return !ret && r->n > 1 ? stale_mode(r) : ret;
}

int fl_cache_o_serve_stale_policy(struct cache_reading *r)
{
	if (r->policy)
		return fl_setup_error(r->s, "serve_stale_policy can only be specified once");
	r->policy = true;
	if (r->n != 1)
		return fl_setup_arg_error(r->s);
	if (!fl_str_ieq(r->arg[0], FL_STR("prefer_positive")))
		return fl_setup_error(r->s, "invalid serve_stale_policy: %.*s", FL_FMT(r->arg[0]));
	r->c->prefer = true;
	return 0;
}

/* ---- ours ---- */

/* 64M and the like, in powers of 1024. */
static bool size(struct fl_str text, uint64_t *bytes)
{
	static const char units[] = "KMG";
	const char *u = text.n ? memchr(units, text.p[text.n - 1] & ~0x20, 3) : NULL;
	int64_t v;
	if (u)
		text.n--;
	if (fl_parse_int(text, 1, 1ll << 40, &v) || (u && v > 1ll << 10 * (3 - (u - units))))
		return false;
	*bytes = (uint64_t)v << (u ? 10 * (u - units + 1) : 0);
	return true;
}

int fl_cache_o_max_bytes(struct cache_reading *r)
{
	if (r->n != 1)
		return fl_setup_arg_error(r->s);
	if (!size(r->arg[0], &r->c->max_bytes) || r->c->max_bytes < 1 << 20 || r->c->max_bytes > 1ull << 40)
		return fl_setup_parse_error(r->s, "max_bytes wants a size between 1M and 1024G, such as 64M: '%.*s'", FL_FMT(r->arg[0]));
	return 0;
}

int fl_cache_o_persist(struct cache_reading *r)
{
	if (!r->n || r->n > 2)
		return fl_setup_arg_error(r->s);
	if (r->c->persist)
		return fl_setup_parse_error(r->s, "persist can only be specified once");
	if (!r->arg[0].n)
		return fl_setup_parse_error(r->s, "persist wants the path of a file");
	int ret = r->n > 1 ? fl_cache_duration(r, r->arg[1], "", &r->c->persist_ns) : 0;
	if (!ret && r->c->persist_ns < (int64_t)FL_SEC)
		ret = fl_setup_parse_error(r->s, "persist: an interval of at least 1s, not '%.*s'", FL_FMT(r->arg[1]));
	r->file = r->arg[0];
	r->c->persist = fl_setup_path(r->s, r->arg[0]);
	return ret;
}

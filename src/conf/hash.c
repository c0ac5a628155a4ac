#include "conf/conf_int.h"
#include "base/sink.h"
#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>
#include <stdio.h>
#include <stdlib.h>

/* SHA-512 of what Go's json.Marshal makes of the blocks: plugin/reload prints it and compares by it, and people compare it between
 * servers. So every escape is Go's. */

static void hash_more(void *hash, const char *p, size_t n) { gnutls_hash(hash, p, n); }

static void put_rune(struct fl_sink *j, const char *p, unsigned n, uint32_t r)
{
	static const char shorts[] = "\"\"\\\\\bb\ff\nn\rr\tt";          /* rune, letter */
	char text[8];
	for (const char *s = shorts; *s; s += 2)
		if (r == (uint8_t)*s) {
			fl_sink_put(j, (char[]){ '\\', s[1] }, 2);
			return;
		}
	bool escape = r < ' ' || r == '<' || r == '>' || r == '&' || r == 0x2028 || r == 0x2029 || (r == 0xFFFD && n == 1);
	if (escape)
		fl_sink_put(j, text, (size_t)snprintf(text, sizeof text, "\\u%04x", (unsigned)r));
	else
		fl_sink_put(j, p, n);
}

static void put_string(struct fl_sink *j, struct fl_str s)
{
	fl_sink_put(j, "\"", 1);
	for (const char *p = s.p, *end = s.p + s.n; p < end;) {
		uint32_t r;
		unsigned n = fl_conf_rune(p, end, &r);
		put_rune(j, p, n, r);
		p += n;
	}
	fl_sink_put(j, "\"", 1);
}

static void put_token(struct fl_sink *j, const struct fl_token *t)
{
	char line[32];
	fl_sink_text(j, "{\"File\":");
	put_string(j, t->file);
	snprintf(line, sizeof line, ",\"Line\":%d,\"Text\":", t->line);
	fl_sink_text(j, line);
	put_string(j, t->is_name ? t->raw : t->text);
	fl_sink_text(j, "}");
}

static int by_name(const void *a, const void *b)
{
	struct fl_str x = (*(const struct fl_directive *const *)a)->name, y = (*(const struct fl_directive *const *)b)->name;
	int c = memcmp(x.p, y.p, x.n < y.n ? x.n : y.n);
	return c ? c : (x.n > y.n) - (x.n < y.n);
}

static void put_block(struct fl_sink *j, const struct fl_conf_block *b)
{
	fl_sink_text(j, "{\"Keys\":[");
	for (unsigned i = 0; i < b->nkey; i++) {
		fl_sink_text(j, i ? "," : "");
		put_string(j, b->key[i].text);
	}
	fl_sink_text(j, "],\"Tokens\":{");
	const struct fl_directive **sorted = fl_xalloc((b->ndir + 1) * sizeof *sorted);
	for (unsigned i = 0; i < b->ndir; i++)
		sorted[i] = &b->dir[i];
	qsort(sorted, b->ndir, sizeof *sorted, by_name);
	for (unsigned i = 0; i < b->ndir; i++) {
		fl_sink_text(j, i ? "," : "");
		put_string(j, sorted[i]->name);
		fl_sink_text(j, ":[");
		for (unsigned k = 0; k < sorted[i]->ntok; k++) {
			fl_sink_text(j, k ? "," : "");
			put_token(j, &sorted[i]->tok[k]);
		}
		fl_sink_text(j, "]");
	}
	free(sorted);
	fl_sink_text(j, "}}");
}

int fl_conf_hash(struct fl_conf *c, struct fl_err *e)
{
	gnutls_hash_hd_t hash;
	uint8_t digest[64];
	if (gnutls_hash_init(&hash, GNUTLS_DIG_SHA512) < 0)
		return fl_err_set(e, "%s: SHA-512 is not available", c->file);
	struct fl_sink j = { .write = hash_more, .arg = hash };
	fl_sink_text(&j, c->nblock ? "[" : "null");
	for (unsigned i = 0; i < c->nblock; i++) {
		fl_sink_text(&j, i ? "," : "");
		put_block(&j, &c->block[i]);
	}
	fl_sink_text(&j, c->nblock ? "]" : "");
	fl_sink_flush(&j);
	gnutls_hash_deinit(hash, digest);
	for (unsigned i = 0; i < sizeof digest; i++)
		snprintf(c->sha512 + 2 * i, 3, "%02x", digest[i]);
	return 0;
}

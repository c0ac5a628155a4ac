#include "conf/conf_int.h"
#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>
#include <stdio.h>
#include <stdlib.h>

/* SHA-512 of what Go's json.Marshal makes of the blocks: plugin/reload prints it and compares by it, and people compare it between
 * servers. So every escape is Go's. */

struct json { gnutls_hash_hd_t hash; size_t n; char buf[4096]; };

static void flush(struct json *j)
{
	gnutls_hash(j->hash, j->buf, j->n);
	j->n = 0;
}

static void put(struct json *j, const char *p, size_t n)
{
	while (n) {
		if (j->n == sizeof j->buf)
			flush(j);
		size_t k = sizeof j->buf - j->n < n ? sizeof j->buf - j->n : n;
		fl_put_bytes(j->buf + j->n, p, k);
		j->n += k;
		p += k;
		n -= k;
	}
}

static void put_text(struct json *j, const char *z) { put(j, z, strlen(z)); }

static void put_rune(struct json *j, const char *p, unsigned n, uint32_t r)
{
	static const char shorts[] = "\"\"\\\\\bb\ff\nn\rr\tt";          /* rune, letter */
	char text[8];
	for (const char *s = shorts; *s; s += 2)
		if (r == (uint8_t)*s) {
			put(j, (char[]){ '\\', s[1] }, 2);
			return;
		}
	bool escape = r < ' ' || r == '<' || r == '>' || r == '&' || r == 0x2028 || r == 0x2029 || (r == 0xFFFD && n == 1);
	if (escape)
		put(j, text, (size_t)snprintf(text, sizeof text, "\\u%04x", (unsigned)r));
	else
		put(j, p, n);
}

static void put_string(struct json *j, struct fl_str s)
{
	put(j, "\"", 1);
	for (const char *p = s.p, *end = s.p + s.n; p < end;) {
		uint32_t r;
		unsigned n = fl_conf_rune(p, end, &r);
		put_rune(j, p, n, r);
		p += n;
	}
	put(j, "\"", 1);
}

static void put_token(struct json *j, const struct fl_token *t)
{
	char line[32];
	put_text(j, "{\"File\":");
	put_string(j, t->file);
	snprintf(line, sizeof line, ",\"Line\":%d,\"Text\":", t->line);
	put_text(j, line);
	put_string(j, t->is_name ? t->raw : t->text);
	put_text(j, "}");
}

static int by_name(const void *a, const void *b)
{
	struct fl_str x = (*(const struct fl_directive *const *)a)->name, y = (*(const struct fl_directive *const *)b)->name;
	int c = memcmp(x.p, y.p, x.n < y.n ? x.n : y.n);
	return c ? c : (x.n > y.n) - (x.n < y.n);
}

static void put_block(struct json *j, const struct fl_conf_block *b)
{
	put_text(j, "{\"Keys\":[");
	for (unsigned i = 0; i < b->nkey; i++) {
		put_text(j, i ? "," : "");
		put_string(j, b->key[i].text);
	}
	put_text(j, "],\"Tokens\":{");
	const struct fl_directive **sorted = fl_xalloc((b->ndir + 1) * sizeof *sorted);
	for (unsigned i = 0; i < b->ndir; i++)
		sorted[i] = &b->dir[i];
	qsort(sorted, b->ndir, sizeof *sorted, by_name);
	for (unsigned i = 0; i < b->ndir; i++) {
		put_text(j, i ? "," : "");
		put_string(j, sorted[i]->name);
		put_text(j, ":[");
		for (unsigned k = 0; k < sorted[i]->ntok; k++) {
			put_text(j, k ? "," : "");
			put_token(j, &sorted[i]->tok[k]);
		}
		put_text(j, "]");
	}
	free(sorted);
	put_text(j, "}}");
}

int fl_conf_hash(struct fl_conf *c, struct fl_err *e)
{
	struct json j = { .n = 0 };
	uint8_t digest[64];
	if (gnutls_hash_init(&j.hash, GNUTLS_DIG_SHA512) < 0)
		return fl_err_set(e, "%s: SHA-512 is not available", c->file);
	put_text(&j, c->nblock ? "[" : "null");
	for (unsigned i = 0; i < c->nblock; i++) {
		put_text(&j, i ? "," : "");
		put_block(&j, &c->block[i]);
	}
	put_text(&j, c->nblock ? "]" : "");
	flush(&j);
	gnutls_hash_deinit(j.hash, digest);
	for (unsigned i = 0; i < sizeof digest; i++)
		snprintf(c->sha512 + 2 * i, 3, "%02x", digest[i]);
	return 0;
}

/* Answers of a CA: any bytes. Each piece of the input is one answer: status, Retry-After, then nonce and Location as lines, then the body, up to an
 * octet that no UTF-8 has. Whatever it says, what goes out next is a question that is whole, and it ends. */
#include <stdlib.h>
#include <string.h>
#include "base/mem.h"
#include "plugin/tls/flow.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool clean(const char *s)
{
	for (; *s; s++)
		if ((unsigned char)*s < ' ' || *s == 0x7f)
			return false;
	return true;
}

static void asked(const struct fl_acme_flow *f)
{
	fl_assert(f->url && (!strncmp(f->url, "https://", 8) || !strncmp(f->url, "http://", 7)));
	for (const char *c = f->url; *c; c++)
		fl_assert(*c > ' ' && *c < 0x7f);
	fl_assert(!f->post || (clean(f->post) && !strncmp(f->post, "{\"protected\":\"", 14)));
	fl_assert(f->wait_ms <= 5 * 60 * 1000);
	fl_assert(!f->show || strlen(f->txt) == FL_ACME_HASH - 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct fl_acme_key *account, *key;
	static const int status[] = { 200, 201, 204, 400, 403, 404, 429, 500, 503, 301 };
	if (!account) {
		account = fl_acme_key_create();
		key = fl_acme_key_create();
	}
	struct fl_acme_flow f = { .account = account, .key = key, .directory = "https://ca.test/d", .email = "a@b.test", .name = "*.c.test" };
	enum fl_acme_do d = fl_acme_flow_start(&f);
	unsigned waited = 0;
	for (int i = 0; i < 200 && size > 2 && d == FL_ACME_ASK; i++) {
		asked(&f);
		waited += f.wait_ms;
		const uint8_t *end = memchr(data + 2, 0xff, size - 2);
		size_t n = (end ? (size_t)(end - data) : size) - 2;
		/* A copy to the very end, so that reading past it is seen. */
		char *text = fl_xalloc(n + 1);
		memcpy(text, data + 2, n);
		text = fl_xrealloc(text, n ? n : 1);
		struct fl_acme_answer a = { status[data[0] % FL_COUNT(status)], data[1] ? data[1] : -1, { 0 }, { 0 }, { text, n } };
		a.body = fl_str_cut(a.body, '\n', &a.nonce);
		a.body = fl_str_cut(a.body, '\n', &a.location);
		d = fl_acme_flow_answer(&f, &a);
		free(text);
		data += n + 2 + !!end;
		size -= n + 2 + !!end;
	}
	fl_assert(waited <= 6 * 60 * 1000 + 200 * 10000);
	fl_assert(d != FL_ACME_FAILED || (*f.err.msg && clean(f.err.msg)));
	fl_assert(d != FL_ACME_DONE || f.chain);
	fl_acme_flow_finish(&f);
	return 0;
}

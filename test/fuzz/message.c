/* Octets from a stranger as a request, as a response, and what was read packed again. */
#include <stdlib.h>
#include "base/err.h"
#include "wire/pack.h"

static uint8_t out[65536];
static char mem[4 << 20];

static bool same_records(const struct fl_message *a, const struct fl_message *b)
{
	unsigned i = 0, k = 0;
	struct fl_rr x = { 0 }, y = { 0 };
	for (;;) {
		while (i < a->n && !fl_rr_next(a->item[i].set, &x))
			i++, x = (struct fl_rr){ 0 };
		while (k < b->n && !fl_rr_next(b->item[k].set, &y))
			k++, y = (struct fl_rr){ 0 };
		if (i == a->n || k == b->n)
			return i == a->n && k == b->n;
		if (!fl_name_eq(a->item[i].owner, b->item[k].owner) || a->item[i].section != b->item[k].section ||
			x.type != y.type ||
		    x.class != y.class || x.ttl != y.ttl || x.rdlen != y.rdlen || memcmp(x.rdata, y.rdata, x.rdlen))
			return false;
	}
}

static void request(const uint8_t *data, size_t n)
{
	struct fl_request r;
	enum fl_parsed v = fl_request_parse(&r, data, n, 1 << FL_OP_UPDATE);
	fl_assert(r.question_end <= n && r.tsig_at <= n);
	if (v != FL_PARSED_OK && v != FL_PARSED_BADVERS)
		return;
	fl_assert(r.qname.len && r.qname.wire[r.qname.len - 1] == 0 && r.question_end >= 13);
	struct fl_arena a;
	fl_arena_init(&a, mem, sizeof mem, NULL, 0);
	struct fl_pack p = { .id = r.id, .flags = FL_QR, .qname = r.qname, .qtype = r.qtype, .qclass = r.qclass, .edns = r.edns,
			     .udp_size = r.udp_size, .edns_flags = r.edns_flags, .opt = fl_edns_parse(&a, r.opt_data, r.opt_len),
				.ede = 3,
			     .ede_text = "text" };
	size_t len = fl_pack(&p, out, 512);
	fl_assert(len <= 512 && !p.cut);
	fl_assert(!memcmp(out + 12, r.qname.wire, r.qname.len));
}

static void message(const uint8_t *data, size_t n)
{
	static uint8_t again[65536];
	static const size_t limits[] = { 512, 1232, 65535 };
	struct fl_arena a;
	struct fl_message m, back;
	fl_arena_init(&a, mem, sizeof mem, NULL, 0);
	if (fl_message_parse(&m, &a, data, n))
		return;
	fl_assert(m.end <= n);
	struct fl_pack p = { .id = m.id, .flags = m.flags, .opcode = m.opcode, .rcode = m.rcode, .qname = m.qname, .qtype = m.qtype,
			     .qclass = m.qclass, .item = m.item, .n = m.n, .edns = m.edns, .udp_size = m.udp_size, .opt = m.opt,
				.ede = -1 };
	struct fl_arena_mark mark = fl_arena_mark(&a);
	for (size_t i = 0; i < FL_COUNT(limits); i++) {
		size_t fast = fl_pack(&p, out, limits[i]);
		bool cut = p.cut;
		size_t slow = fl_pack_slow(&p, again, limits[i]);
		fl_assert(fast <= limits[i] && slow <= fast && cut == p.cut);
		struct fl_message other;
		if (fl_message_parse(&back, &a, out, fast) == 0 && fl_message_parse(&other, &a, again, slow) == 0) {
			fl_assert(cut || same_records(&m, &back));
			fl_assert(same_records(&back, &other));
		}
		fl_arena_rewind(&a, mark);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	uint8_t *own = malloc(n ? n : 1);       /* a read past the end is seen */
	if (n)
		memcpy(own, data, n);
	request(own, n);
	message(own, n);
	free(own);
	return 0;
}

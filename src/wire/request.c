/* request: what CoreDNS takes from a client (miekg/dns server.go, acceptfunc.go and msg.go: which sections unpack, and how the
 * rest is refused). The common query, a question and perhaps one OPT behind it, is read straight through. */
#include "wire/message.h"
#include "wire/rdata.h"

enum { RR_HEAD = 10 };

/* Steps over the name at *at. miekg/dns lets pointers lead anywhere, 126 of them in a name (UnpackDomainName). */
static bool skip_name(const uint8_t *msg, size_t n, size_t *at)
{
	size_t o = *at, len = 0, hops = 0;
	while (o < n) {
		unsigned c = msg[o];
		if (c <= FL_LABEL_MAX) {
			o += c + 1;
			len += c + 1;
			if (o > n || (c && len >= FL_NAME_MAX))
				return false;
			if (c)
				continue;
			*at = hops ? *at : o;
			return true;
		}
		if (c < 0xc0 || n - o < 2 || hops == 126)
			return false;
		*at = hops++ ? *at : o + 2;
		o = fl_get16(msg + o) & 0x3fff;
	}
	return false;
}

static bool subnet_ok(const uint8_t *p, unsigned n)
{
	if (n < 4)
		return false;
	unsigned bits = fl_get16(p) == 1 ? 32 : 128;
	switch (fl_get16(p)) {
	case 0: return !p[2];
	case 1: case 2: return p[2] <= bits && p[3] <= bits;
	default: return false;
	}
}

/* Options whose content miekg/dns looks into; a bad one spoils the message. */
static bool option_ok(unsigned code, const uint8_t *p, unsigned n)
{
	size_t at = 0;
	switch (code) {
	case 1: return n >= 18;                                         /* LLQ */
	case 2: return n == 4 || n == 8;                                /* update lease */
	case 8: return subnet_ok(p, n);
	case 9: return !n || n >= 4;                                    /* EXPIRE */
	case 11: return !n || n == 2;                                   /* tcp-keepalive */
	case 15: case 19: return n >= 2;                                /* EDE, zone version */
	case 18: return skip_name(p, n, &at);                    /* report channel */
	default: return true;
	}
}

static bool options_ok(const uint8_t *p, size_t n)
{
	for (size_t at = 0; at < n;) {
		if (n - at < 4)
			return false;
		unsigned code = fl_get16(p + at), len = fl_get16(p + at + 2);
		at += 4;
		if (n - at < len || !option_ok(code, p + at, len))
			return false;
		at += len;
	}
	return true;
}

/* p: behind the owner of an OPT whose rdata is inside the packet. */
static bool take_opt(struct fl_request *r, const uint8_t *p)
{
	r->edns = true;
	r->udp_size = fl_get16(p + 2);
	r->edns_version = p[5];
	r->edns_flags = fl_get16(p + 6);
	r->dnssec_ok = p[6] >> 7;
	r->opt_len = fl_get16(p + 8);
	r->opt_data = p + RR_HEAD;
	return !r->opt_len || options_ok(r->opt_data, r->opt_len);
}

/* Rdata of a record in a request, as miekg/dns unpacks it: none at all is fine, and so is an end between two fields. */
static bool rdata_ok(uint16_t type, const uint8_t *msg, size_t at, size_t end)
{
	if (type == FL_T_OPT)
		return options_ok(msg + at, end - at);
	for (const char *f = fl_rdata_fields(type); *f && at < end; f++) {
		if (rdata_is_name(*f)) {
			if (!skip_name(msg, end, &at))
				return false;
			continue;
		}
		int len = fl_rdata_field(*f, msg + at, end - at);
		if (len < 0)
			return false;
		at += (size_t)len;
	}
	return at == end;
}

/* The record at *at of section s. */
static bool record(struct fl_request *r, const uint8_t *msg, size_t n, size_t *at, int s)
{
	size_t start = *at;
	if (!skip_name(msg, n, at) || n - *at < RR_HEAD)
		return false;
	const uint8_t *p = msg + *at;
	size_t rdata = *at + RR_HEAD, end = rdata + fl_get16(p + 8);
	uint16_t type = fl_get16(p);
	if (end > n)
		return false;
	*at = end;
	if (s != FL_ADDITIONAL)
		return rdata_ok(type, msg, rdata, end);
	r->tsig_at = type == FL_T_TSIG ? (uint16_t)start : 0;   /* only the last record is one */
	return type == FL_T_OPT ? take_opt(r, p) : rdata_ok(type, msg, rdata, end);
}

/* Sections behind the question. Counts may promise more than there is, if the message ends between two records. */
static bool records(struct fl_request *r, const uint8_t *msg, size_t n, size_t at)
{
	for (int s = FL_ANSWER; s <= FL_ADDITIONAL; s++)
		for (unsigned count = fl_get16(msg + 6 + 2 * s); count && at < n; count--)
			if (!record(r, msg, n, &at, s))
				return false;
	return true;
}

/* False: no question that unpacks. A message may end behind the name, or behind the type. */
static bool question(struct fl_request *r, const uint8_t *msg, size_t n)
{
	size_t at = FL_HEADER;
	while (at < n && msg[at]) {
		if (msg[at] > FL_LABEL_MAX)
			return false;
		at += msg[at] + 1u;
		if (at - FL_HEADER >= FL_NAME_MAX)
			return false;
	}
	if (at >= n)
		return false;
	at++;
	r->qname = (struct fl_name){ msg + FL_HEADER, (uint8_t)(at - FL_HEADER) };
	size_t left = n - at;
	if (__builtin_expect(left < 4, 0)) {
		if (left & 1)
			return false;
		r->qtype = left ? fl_get16(msg + at) : 0;
		r->question_end = n;
		return true;
	}
	r->qtype = fl_get16(msg + at);
	r->qclass = fl_get16(msg + at + 2);
	r->question_end = at + 4;
	return true;
}

enum fl_parsed fl_request_parse(struct fl_request *r, const uint8_t *msg, size_t n, uint16_t opcodes)
{
	*r = (struct fl_request){ 0 };
	if (n < FL_HEADER)
		return FL_PARSED_DROP;
	r->id = fl_get16(msg);
	r->flags = fl_get16(msg + 2);
	r->opcode = r->flags >> 11 & 15;
	if (r->flags & FL_QR)
		return FL_PARSED_DROP;
	bool usual = r->opcode == FL_OP_QUERY || r->opcode == FL_OP_NOTIFY;
	if (!usual && !(opcodes >> r->opcode & 1))
		return FL_PARSED_NOTIMP;
	unsigned an = fl_get16(msg + 6), ns = fl_get16(msg + 8), ar = fl_get16(msg + 10);
	if (fl_get16(msg + 4) != 1 || (usual && ((an | ns) > 1 || ar > 2)))
		return FL_PARSED_FORMERR_BARE;
	if (n == FL_HEADER)
		return FL_PARSED_SERVFAIL;
	if (!question(r, msg, n))
		return FL_PARSED_FORMERR;
	if (!(an | ns | ar))
		return FL_PARSED_OK;
	const uint8_t *p = msg + r->question_end;
	size_t left = n - r->question_end;
	bool plain = !(an | ns) && ar == 1 && left > RR_HEAD && !p[0] && fl_get16(p + 1) == FL_T_OPT;
	bool ok = plain ? left - RR_HEAD - 1 >= fl_get16(p + 9) && take_opt(r, p + 1) : records(r, msg, n, r->question_end);
	return !ok ? FL_PARSED_FORMERR : r->edns_version ? FL_PARSED_BADVERS : FL_PARSED_OK;
}

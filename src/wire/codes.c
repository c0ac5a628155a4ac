/* codes: the names of types, classes and rcodes, as miekg/dns spells them. */
#include "wire/rrset.h"
#include <stdio.h>

struct code { uint16_t value; const char *name; };

static const struct code types[] = {
	{ 0, "None" }, { 1, "A" }, { 2, "NS" }, { 3, "MD" }, { 4, "MF" }, { 5, "CNAME" }, { 6, "SOA" }, { 7, "MB" }, { 8, "MG" },
	{ 9, "MR" }, { 10, "NULL" }, { 12, "PTR" }, { 13, "HINFO" }, { 14, "MINFO" }, { 15, "MX" }, { 16, "TXT" }, { 17, "RP" },
	{ 18, "AFSDB" }, { 19, "X25" }, { 20, "ISDN" }, { 21, "RT" }, { 23, "NSAP-PTR" }, { 24, "SIG" }, { 25, "KEY" },
	{ 26, "PX" },
	{ 27, "GPOS" }, { 28, "AAAA" }, { 29, "LOC" }, { 30, "NXT" }, { 31, "EID" }, { 32, "NIMLOC" }, { 33, "SRV" },
	{ 34, "ATMA" },
	{ 35, "NAPTR" }, { 36, "KX" }, { 37, "CERT" }, { 39, "DNAME" }, { 41, "OPT" }, { 42, "APL" }, { 43, "DS" }, { 44, "SSHFP" },
	{ 45, "IPSECKEY" }, { 46, "RRSIG" }, { 47, "NSEC" }, { 48, "DNSKEY" }, { 49, "DHCID" }, { 50, "NSEC3" },
	{ 51, "NSEC3PARAM" }, { 52, "TLSA" }, { 53, "SMIMEA" }, { 55, "HIP" }, { 56, "NINFO" }, { 57, "RKEY" }, { 58, "TALINK" },
	{ 59, "CDS" }, { 60, "CDNSKEY" }, { 61, "OPENPGPKEY" }, { 62, "CSYNC" }, { 63, "ZONEMD" }, { 64, "SVCB" }, { 65, "HTTPS" },
	{ 99, "SPF" }, { 100, "UINFO" }, { 101, "UID" }, { 102, "GID" }, { 103, "UNSPEC" }, { 104, "NID" }, { 105, "L32" },
	{ 106, "L64" }, { 107, "LP" }, { 108, "EUI48" }, { 109, "EUI64" }, { 128, "NXNAME" }, { 249, "TKEY" }, { 250, "TSIG" },
	{ 251, "IXFR" }, { 252, "AXFR" }, { 253, "MAILB" }, { 254, "MAILA" }, { 255, "ANY" }, { 256, "URI" }, { 257, "CAA" },
	{ 258, "AVC" }, { 260, "AMTRELAY" }, { 261, "RESINFO" }, { 32768, "TA" }, { 32769, "DLV" }, { 65535, "Reserved" },
};

static const struct code classes[] = { { 1, "IN" }, { 2, "CS" }, { 3, "CH" }, { 4, "HS" }, { 254, "NONE" }, { 255, "ANY" } };

static const struct code rcodes[] = {
	{ 0, "NOERROR" }, { 1, "FORMERR" }, { 2, "SERVFAIL" }, { 3, "NXDOMAIN" }, { 4, "NOTIMP" }, { 5, "REFUSED" },
	{ 6, "YXDOMAIN" },
	{ 7, "YXRRSET" }, { 8, "NXRRSET" }, { 9, "NOTAUTH" }, { 10, "NOTZONE" }, { 11, "DSOTYPENI" }, { 16, "BADSIG" },
	{ 17, "BADKEY" }, { 18, "BADTIME" }, { 19, "BADMODE" }, { 20, "BADNAME" }, { 21, "BADALG" }, { 22, "BADTRUNC" },
	{ 23, "BADCOOKIE" },
};

/* Tables rise by value. */
static const char *name_of(const struct code *t, size_t n, uint16_t value)
{
	size_t from = 0;
	while (from < n) {
		size_t mid = (from + n) / 2;
		if (t[mid].value == value)
			return t[mid].name;
		if (t[mid].value < value)
			from = mid + 1;
		else
			n = mid;
	}
	return NULL;
}

/* By name, or by number behind the prefix. */
static bool value_of(const struct code *t, size_t n, struct fl_str text, struct fl_str prefix, uint16_t *value)
{
	for (size_t i = 0; i < n; i++)
		if (fl_str_is(text, t[i].name)) {
			*value = t[i].value;
			return true;
		}
	int64_t v;
	if (!prefix.n || !fl_str_starts(text, prefix))
		return false;
	struct fl_str digits = { text.p + prefix.n, text.n - prefix.n };
	if (!digits.n || digits.p[0] == '+' || digits.p[0] == '-' || fl_parse_int(digits, 0, UINT16_MAX, &v))
		return false;
	*value = (uint16_t)v;
	return true;
}

static size_t text_of(char to[16], const char *name, const char *prefix, uint16_t value)
{
	return (size_t)(name ? snprintf(to, 16, "%s", name) : snprintf(to, 16, "%s%u", prefix, value));
}

const char *fl_type_name(uint16_t type) { return name_of(types, FL_COUNT(types), type); }
size_t fl_type_text(char to[16], uint16_t type) { return text_of(to, fl_type_name(type), "TYPE", type); }
bool fl_type_parse(struct fl_str text, uint16_t *type) { return value_of(types, FL_COUNT(types), text, FL_STR("TYPE"), type); }

const char *fl_class_name(uint16_t class) { return name_of(classes, FL_COUNT(classes), class); }
size_t fl_class_text(char to[16], uint16_t class) { return text_of(to, fl_class_name(class), "CLASS", class); }
bool fl_class_parse(struct fl_str text, uint16_t *class)
{
	return value_of(classes, FL_COUNT(classes), text, FL_STR("CLASS"), class);
}

const char *fl_rcode_name(uint16_t rcode) { return name_of(rcodes, FL_COUNT(rcodes), rcode); }
bool fl_rcode_parse(struct fl_str text, uint16_t *rcode)
{
	if (fl_str_is(text, "NOTIMPL")) {
		*rcode = FL_NOTIMP;
		return true;
	}
	return value_of(rcodes, FL_COUNT(rcodes), text, FL_STR(""), rcode);
}

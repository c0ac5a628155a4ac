#include "wire/rdata.h"
#include <errno.h>

/* Types below 66 by number, the others in a list. */
static const char *const low[] = {
	[1] = "A", [2] = "c", [3] = "c", [4] = "c", [5] = "c", [6] = "cc4UUUU", [7] = "c", [8] = "c", [9] = "c", [12] = "c",
	[13] = "ss", [14] = "cc", [15] = "2c", [16] = "t", [17] = "nn", [18] = "2n", [19] = "s", [20] = "!ss", [21] = "2n",
	[23] = "n",
	[24] = "T114DD2nb", [25] = "211b", [26] = "2nn", [27] = "!sss", [28] = "Q", [29] = "!1111444", [30] = "nB", [33] = "222n",
	[35] = "22sssn", [36] = "2n", [37] = "!221b", [39] = "n", [41] = "!O", [43] = "211h", [44] = "11h", [46] = "T114DD2nb",
	[47] = "nB", [48] = "211b", [49] = "b", [50] = "112HCB", [51] = "112H", [52] = "111h", [53] = "111h", [56] = "t",
	[57] = "!211b", [58] = "nn", [59] = "211h", [60] = "211b", [61] = "b", [62] = "!42B", [63] = "411h", [64] = "2nS",
	[65] = "2nS",
};

static const struct { uint16_t type; const char *fields; } high[] = {
	{ 99, "t" }, { 100, "!s" }, { 101, "!4" }, { 102, "!4" }, { 104, "!28" }, { 105, "2A" }, { 106, "!28" }, { 107, "2n" },
	{ 108, "!6" }, { 109, "!8" }, { 128, "!" }, { 249, "!n4422LL" }, { FL_T_TSIG, "!n62L22L" }, { FL_T_ANY, "!" },
	{ 256, "22o" },
	{ FL_T_CAA, "1go" }, { 258, "t" }, { 261, "t" }, { 32768, "211h" }, { 32769, "211h" },
};

static const char *row(uint16_t type)
{
	if (type < FL_COUNT(low))
		return low[type];
	for (size_t i = 0; i < FL_COUNT(high); i++)
		if (high[i].type == type)
			return high[i].fields;
	return NULL;
}

const char *fl_rdata_fields(uint16_t type)
{
	const char *f = row(type);
	return f ? f + (*f == '!') : "x";
}

bool fl_rdata_has_text(uint16_t type)
{
	const char *f = row(type);
	return f && *f != '!';
}

size_t fl_name_check(const uint8_t *p, size_t n)
{
	size_t at = 0;
	while (at < n && p[at]) {
		if (p[at] > FL_LABEL_MAX)
			return 0;
		at += p[at] + 1u;
		if (at >= FL_NAME_MAX)
			return 0;
	}
	return at < n ? at + 1 : 0;
}

static int strings(const uint8_t *p, size_t n)
{
	size_t at = 0;
	while (at < n)
		at += p[at] + 1u;
	return at == n ? (int)n : -1;
}

/* Blocks of window, length and bits, windows rising. */
static int bitmap(const uint8_t *p, size_t n)
{
	int last = -1;
	for (size_t at = 0; at < n; at += 2u + p[at + 1]) {
		if (n - at < 2 || p[at] <= last || !p[at + 1] || p[at + 1] > 32 || n - at - 2 < p[at + 1])
			return -1;
		last = p[at];
	}
	return (int)n;
}

/* Pairs of code, length and bytes; rising: codes must. */
static int pairs(const uint8_t *p, size_t n, bool rising)
{
	int last = -1;
	for (size_t at = 0; at < n; at += 4u + fl_get16(p + at + 2)) {
		if (n - at < 4 || n - at - 4 < fl_get16(p + at + 2) || (rising && fl_get16(p + at) <= last))
			return -1;
		last = fl_get16(p + at);
	}
	return (int)n;
}

static int counted(const uint8_t *p, size_t n, size_t head)
{
	if (n < head)
		return -1;
	size_t len = head + (head == 1 ? p[0] : fl_get16(p));
	return len <= n ? (int)len : -1;
}

int fl_rdata_field(char kind, const uint8_t *p, size_t n)
{
	size_t fixed;
	switch (kind) {
	case 's': case 'g': case 'H': case 'C': return counted(p, n, 1);
	case 'L': return counted(p, n, 2);
	case 't': return strings(p, n);
	case 'B': return bitmap(p, n);
	case 'S': return pairs(p, n, true);
	case 'O': return pairs(p, n, false);
	case 'b': case 'h': case 'x': case 'o': return (int)n;
	case 'U': case 'A': case 'D': fixed = 4; break;
	case 'T': fixed = 2; break;
	case 'Q': fixed = 16; break;
	default: fixed = (size_t)(kind - '0');
	}
	return fixed <= n ? (int)fixed : -1;
}

int fl_rdata_names(uint16_t type, const uint8_t *rdata, size_t n, void (*fn)(void *arg, size_t offset, bool compressible),
	void *arg)
{
	size_t at = 0;
	for (const char *f = fl_rdata_fields(type); *f; f++) {
		if (rdata_is_name(*f)) {
			size_t len = fl_name_check(rdata + at, n - at);
			if (!len)
				return -EBADMSG;
			fn(arg, at, *f == 'c');
			at += len;
			continue;
		}
		int len = fl_rdata_field(*f, rdata + at, n - at);
		if (len < 0)
			return -EBADMSG;
		at += (size_t)len;
	}
	return at == n ? 0 : -EBADMSG;
}

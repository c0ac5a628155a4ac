#include "store/store.h"
#include <arpa/inet.h>

/* Dotted quad as Go takes it: four decimal numbers, none above 255, no leading zeros. */
static bool v4(struct fl_str s, uint8_t *b)
{
	for (int i = 0; i < 4; i++) {
		unsigned v = 0, n = 0;
		while (s.n && s.p[0] >= '0' && s.p[0] <= '9' && n < 4) {
			v = v * 10 + (unsigned)(s.p[0] - '0');
			if (n == 1 && v < 10)
				return false;   /* 0x */
			n++;
			s.p++, s.n--;
		}
		if (!n || v > 255)
			return false;
		b[i] = (uint8_t)v;
		if (i < 3) {
			if (!s.n || s.p[0] != '.')
				return false;
			s.p++, s.n--;
		}
	}
	return !s.n;
}

bool fl_ip_parse(struct fl_str text, struct fl_ip *ip)
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
	char z[INET6_ADDRSTRLEN];
	*ip = (struct fl_ip){ 0 };
	if (v4(text, ip->b)) {
		ip->len = 4;
		return true;
	}
	if (!text.n || text.n >= sizeof z || !memchr(text.p, ':', text.n))
		return false;
	memcpy(z, text.p, text.n);
	z[text.n] = 0;
	if (inet_pton(AF_INET6, z, ip->b) != 1)
		return false;
	ip->len = 16;
	if (!memcmp(ip->b, mapped, 12)) {
		memmove(ip->b, ip->b + 12, 4);
		memset(ip->b + 4, 0, 12);
		ip->len = 4;
	}
	return true;
}

size_t fl_ip_text(char to[46], const uint8_t *b, uint8_t len)
{
	to[0] = 0;
	if (len == 4 || len == 16)
		inet_ntop(len == 4 ? AF_INET : AF_INET6, b, to, 46);
	return strlen(to);
}

#include "net/tls_policy.h"
#include <stdio.h>

/* In the order of crypto/tls, which chooses by it whatever the order of the list. */
static const struct suite { const char *name, *cipher; bool rsa, v13; } suites[FL_TLS_SUITES] = {
	{ "TLS_AES_128_GCM_SHA256", "AES-128-GCM", .v13 = true },
	{ "TLS_AES_256_GCM_SHA384", "AES-256-GCM", .v13 = true },
	{ "TLS_CHACHA20_POLY1305_SHA256", "CHACHA20-POLY1305", .v13 = true },
	{ "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", "AES-128-GCM" },
	{ "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", "AES-128-GCM", .rsa = true },
	{ "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", "AES-256-GCM" },
	{ "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384", "AES-256-GCM", .rsa = true },
	{ "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256", "CHACHA20-POLY1305" },
	{ "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256", "CHACHA20-POLY1305", .rsa = true },
	{ "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA", "AES-128-CBC" },
	{ "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA", "AES-128-CBC", .rsa = true },
	{ "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA", "AES-256-CBC" },
	{ "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA", "AES-256-CBC", .rsa = true },
};
static const struct { const char *name, *group; } curves[FL_TLS_CURVES] = {
	{ "CurveP256", "SECP256R1" }, { "CurveP384", "SECP384R1" }, { "CurveP521", "SECP521R1" }, { "X25519", "X25519" } };

int fl_tls_suite(struct fl_str name)
{
	for (int i = 0; i < FL_TLS_SUITES; i++)
		if (fl_str_is(name, suites[i].name))
			return i;
	return -1;
}

int fl_tls_curve(struct fl_str name)
{
	for (int i = 0; i < FL_TLS_CURVES; i++)
		if (fl_str_is(name, curves[i].name))
			return i;
	return -1;
}

int fl_tls_version(struct fl_str name)
{
	bool ok = name.n == 5 && fl_str_starts(name, FL_STR("TLS1")) && name.p[4] >= '0' && name.p[4] <= '3';
	return ok ? 10 + name.p[4] - '0' : -1;
}

static void put(char *to, const char *what, const char *name)
{
	char word[64];
	snprintf(word, sizeof word, "%s%s", what, name);
	size_t n = strlen(to), w = strlen(word);
	if (strstr(to, word) || n + w + 1 > FL_TLS_PRIORITY)    /* no name is the front of another */
		return;
	memcpy(to + n, word, w + 1);
}

bool fl_tls_priority(char to[FL_TLS_PRIORITY], const struct fl_tls_policy *p, bool rsa, enum fl_tls_when when)
{
	int min = p->min ? p->min : 12, max = p->max ? p->max : 13;
	bool any = false, any12 = false;
	snprintf(to, FL_TLS_PRIORITY, "NORMAL:-VERS-ALL:-KX-ALL:%s:-CIPHER-ALL:%%SERVER_PRECEDENCE%s",
		 rsa ? "+ECDHE-RSA" : "+ECDHE-ECDSA", p->ncurves ? ":-GROUP-ALL" : "");
	for (int i = 0; i < FL_TLS_SUITES; i++) {
		bool take = suites[i].v13 ? when != FL_TLS_BEFORE_13 && max >= 13
					  : when != FL_TLS_FROM_13 && min < 13 && suites[i].rsa == rsa &&
						(!p->suites || p->suites & 1u << i);
		any12 = any12 || (take && !suites[i].v13);
		any = any || take;
		if (take)
			put(to, ":+", suites[i].cipher);
	}
	static const char *const versions[] = { "1.0", "1.1", "1.2", "1.3" };
	for (int v = max; v >= min; v--)
		if (v == 13 ? when != FL_TLS_BEFORE_13 : any12)
			put(to, ":+VERS-TLS", versions[v - 10]);
	for (unsigned i = 0; i < p->ncurves; i++)
		put(to, ":+GROUP-", curves[p->curve[i]].group);
	return any && min <= max;
}

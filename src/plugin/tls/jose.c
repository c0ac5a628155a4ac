#include "plugin/tls/jose.h"
#include "base/mem.h"
#include <cjson/cJSON.h>
#include <gnutls/abstract.h>
#include <gnutls/crypto.h>
#include <gnutls/x509.h>
#include <stdio.h>
#include <stdlib.h>

enum { COORD = 32, COORD_TEXT = 44, HASH = 32 };

struct fl_acme_key { gnutls_x509_privkey_t x509; gnutls_privkey_t sign; uint8_t x[COORD], y[COORD]; };

/* ---- keys ---- */

static void must(int ret) { fl_assert(ret >= 0); }

/* A number of at most 32 octets, filled up in front; false: it is longer. */
static bool padded(uint8_t to[COORD], const gnutls_datum_t *d)
{
	const unsigned char *p = d->data;
	unsigned n = d->size;
	for (; n && !*p; n--)
		p++;
	if (n > COORD)
		return false;
	memset(to, 0, COORD - n);
	fl_put_bytes(to + COORD - n, p, n);
	return true;
}

/* Takes the key. NULL: not of P-256. */
static struct fl_acme_key *key_of(gnutls_x509_privkey_t x509)
{
	struct fl_acme_key *k = fl_xalloc(sizeof *k);
	gnutls_datum_t x = { 0 }, y = { 0 };
	gnutls_ecc_curve_t curve = GNUTLS_ECC_CURVE_INVALID;
	k->x509 = x509;
	bool good = gnutls_x509_privkey_export_ecc_raw(x509, &curve, &x, &y, NULL) >= 0 && curve == GNUTLS_ECC_CURVE_SECP256R1 &&
		    padded(k->x, &x) && padded(k->y, &y) && gnutls_privkey_init(&k->sign) >= 0 &&
		    gnutls_privkey_import_x509(k->sign, x509, 0) >= 0;
	gnutls_free(x.data);
	gnutls_free(y.data);
	if (good)
		return k;
	fl_acme_key_destroy(k);
	return NULL;
}

struct fl_acme_key *fl_acme_key_create(void)
{
	gnutls_x509_privkey_t x509;
	must(gnutls_x509_privkey_init(&x509));
	must(gnutls_x509_privkey_generate(x509, GNUTLS_PK_ECDSA, GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1), 0));
	struct fl_acme_key *k = key_of(x509);
	fl_assert(k);
	return k;
}

struct fl_acme_key *fl_acme_key_parse(struct fl_str pem, struct fl_err *e)
{
	gnutls_datum_t d = { .data = (unsigned char *)(uintptr_t)pem.p, .size = (unsigned)pem.n };
	gnutls_x509_privkey_t x509;
	must(gnutls_x509_privkey_init(&x509));
	int ret = gnutls_x509_privkey_import2(x509, &d, GNUTLS_X509_FMT_PEM, NULL, GNUTLS_PKCS_PLAIN);
	if (ret < 0) {
		gnutls_x509_privkey_deinit(x509);
		fl_err_set(e, "no private key: %s", gnutls_strerror(ret));
		return NULL;
	}
	struct fl_acme_key *k = key_of(x509);
	if (!k)
		fl_err_set(e, "the private key is not of the curve P-256");
	return k;
}

void fl_acme_key_destroy(struct fl_acme_key *k)
{
	if (!k)
		return;
	if (k->sign)
		gnutls_privkey_deinit(k->sign);
	gnutls_x509_privkey_deinit(k->x509);
	free(k);
}

char *fl_acme_key_pem(const struct fl_acme_key *k)
{
	gnutls_datum_t d = { 0 };
	must(gnutls_x509_privkey_export2(k->x509, GNUTLS_X509_FMT_PEM, &d));
	char *text = fl_xstrndup((const char *)d.data, d.size);
	gnutls_memset(d.data, 0, d.size);
	gnutls_free(d.data);
	return text;
}

/* ---- signatures ---- */

static void coords(const struct fl_acme_key *k, char x[COORD_TEXT], char y[COORD_TEXT])
{
	fl_base64url(x, k->x, COORD);
	fl_base64url(y, k->y, COORD);
}

static void hashed(char to[FL_ACME_HASH], const char *text)
{
	uint8_t sum[HASH];
	must(gnutls_hash_fast(GNUTLS_DIG_SHA256, text, strlen(text), sum));
	fl_base64url(to, sum, sizeof sum);
}

void fl_acme_thumbprint(const struct fl_acme_key *k, char to[FL_ACME_HASH])
{
	char x[COORD_TEXT], y[COORD_TEXT], jwk[160];
	coords(k, x, y);
	snprintf(jwk, sizeof jwk, "{\"crv\":\"P-256\",\"kty\":\"EC\",\"x\":\"%s\",\"y\":\"%s\"}", x, y);
	hashed(to, jwk);
}

void fl_acme_dns01(const struct fl_acme_key *k, const char *token, char to[FL_ACME_HASH])
{
	char print[FL_ACME_HASH], *text = fl_xalloc(strlen(token) + sizeof print + 1);
	fl_acme_thumbprint(k, print);
	stpcpy(stpcpy(stpcpy(text, token), "."), print);
	hashed(to, text);
	free(text);
}

static char *header(const struct fl_acme_key *k, const char *kid, const char *nonce, const char *url)
{
	cJSON *h = cJSON_CreateObject();
	cJSON_AddStringToObject(h, "alg", "ES256");
	if (kid) {
		cJSON_AddStringToObject(h, "kid", kid);
	} else {
		char x[COORD_TEXT], y[COORD_TEXT];
		cJSON *jwk = cJSON_AddObjectToObject(h, "jwk");
		coords(k, x, y);
		cJSON_AddStringToObject(jwk, "crv", "P-256");
		cJSON_AddStringToObject(jwk, "kty", "EC");
		cJSON_AddStringToObject(jwk, "x", x);
		cJSON_AddStringToObject(jwk, "y", y);
	}
	cJSON_AddStringToObject(h, "nonce", nonce);
	cJSON_AddStringToObject(h, "url", url);
	char *text = cJSON_PrintUnformatted(h);
	fl_assert(text);
	cJSON_Delete(h);
	return text;
}

/* r and s of 32 octets each (RFC 7518 §3.4); GnuTLS gives them in DER. */
static void sign(const struct fl_acme_key *k, const char *text, size_t n, uint8_t to[2 * COORD])
{
	gnutls_datum_t in = { (unsigned char *)(uintptr_t)text, (unsigned)n }, der = { 0 }, r = { 0 }, s = { 0 };
	must(gnutls_privkey_sign_data2(k->sign, GNUTLS_SIGN_ECDSA_SHA256, 0, &in, &der));
	must(gnutls_decode_rs_value(&der, &r, &s));
	bool fits = padded(to, &r) && padded(to + COORD, &s);
	fl_assert(fits);
	gnutls_free(der.data);
	gnutls_free(r.data);
	gnutls_free(s.data);
}

char *fl_acme_jws(const struct fl_acme_key *k, const char *kid, const char *nonce, const char *url, const char *payload)
{
	static const char before[] = "{\"protected\":\"", between[] = "\",\"payload\":\"", after[] = "\",\"signature\":\"";
	char *head = header(k, kid, nonce, url);
	size_t nhead = strlen(head), nload = strlen(payload);
	char *signing = fl_xalloc(4 * (nhead + nload) / 3 + 16), *dot = signing + fl_base64url(signing, head, nhead);
	*dot = '.';
	size_t n = (size_t)(dot - signing) + 1 + fl_base64url(dot + 1, payload, nload);
	uint8_t rs[2 * COORD];
	char sig[4 * sizeof rs / 3 + 4];
	sign(k, signing, n, rs);
	fl_base64url(sig, rs, sizeof rs);
	*dot = 0;
	char *jws = fl_xalloc(n + sizeof sig + sizeof before + sizeof between + sizeof after + 4);
	stpcpy(stpcpy(stpcpy(stpcpy(stpcpy(stpcpy(stpcpy(jws, before), signing), between), dot + 1), after), sig), "\"}");
	free(signing);
	cJSON_free(head);
	return jws;
}

/* ---- certificates ---- */

char *fl_acme_csr(const struct fl_acme_key *k, const char *name)
{
	gnutls_x509_crq_t crq = NULL;
	gnutls_datum_t der = { 0 };
	char *text = NULL;
	if (gnutls_x509_crq_init(&crq) >= 0 && gnutls_x509_crq_set_version(crq, 1) >= 0 && gnutls_x509_crq_set_key(crq, k->x509) >= 0 &&
	    gnutls_x509_crq_set_subject_alt_name(crq, GNUTLS_SAN_DNSNAME, name, (unsigned)strlen(name), 0) >= 0 &&
	    gnutls_x509_crq_sign2(crq, k->x509, GNUTLS_DIG_SHA256, 0) >= 0 &&
	    gnutls_x509_crq_export2(crq, GNUTLS_X509_FMT_DER, &der) >= 0) {
		text = fl_xalloc(4 * (size_t)der.size / 3 + 5);
		fl_base64url(text, der.data, der.size);
	}
	gnutls_free(der.data);
	if (crq)
		gnutls_x509_crq_deinit(crq);
	return text;
}

static bool same_key(gnutls_x509_crt_t crt, const struct fl_acme_key *k)
{
	uint8_t a[HASH], b[HASH];
	size_t na = sizeof a, nb = sizeof b;
	return gnutls_x509_crt_get_key_id(crt, GNUTLS_KEYID_USE_SHA256, a, &na) >= 0 &&
	       gnutls_x509_privkey_get_key_id(k->x509, GNUTLS_KEYID_USE_SHA256, b, &nb) >= 0 && na == nb && !memcmp(a, b, na);
}

/* The name itself among the certificate's; "*.a" is one of them, not one that matches. */
static bool names(gnutls_x509_crt_t crt, const char *name)
{
	char san[512];
	for (unsigned i = 0;; i++) {
		size_t n = sizeof san;
		int type = gnutls_x509_crt_get_subject_alt_name(crt, i, san, &n, NULL);
		if (type == GNUTLS_E_REQUESTED_DATA_NOT_AVAILABLE)
			return false;
		if (type == GNUTLS_SAN_DNSNAME && fl_str_ieq((struct fl_str){ san, n }, fl_str(name)))
			return true;
	}
}

int fl_acme_chain(struct fl_str pem, const struct fl_acme_key *k, const char *name, int64_t *from, int64_t *until, struct fl_err *e)
{
	gnutls_x509_crt_t *crt = NULL;
	unsigned n = 0;
	gnutls_datum_t d = { .data = (unsigned char *)(uintptr_t)pem.p, .size = (unsigned)pem.n };
	int ret = gnutls_x509_crt_list_import2(&crt, &n, &d, GNUTLS_X509_FMT_PEM, GNUTLS_X509_CRT_LIST_FAIL_IF_UNSORTED);
	if (ret < 0 || !n)
		return fl_err_set(e, "no certificate chain: %s", gnutls_strerror(ret));
	ret = 0;
	if (!same_key(crt[0], k))
		ret = fl_err_set(e, "the certificate is not for the private key");
	else if (!names(crt[0], name))
		ret = fl_err_set(e, "the certificate does not name %s", name);
	*from = gnutls_x509_crt_get_activation_time(crt[0]);
	*until = gnutls_x509_crt_get_expiration_time(crt[0]);
	for (unsigned i = 0; i < n; i++)
		gnutls_x509_crt_deinit(crt[i]);
	gnutls_free(crt);
	return ret;
}

/* ACME without a CA: signatures and requests against the RFCs and GnuTLS's own reading, the state machine against answers that are written
 * down here, the files. */
#include "../files.h"
#include <cjson/cJSON.h>
#include <errno.h>
#include <gnutls/abstract.h>
#include <gnutls/crypto.h>
#include <gnutls/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/mem.h"
#include "plugin/tls/flow.h"
#include "plugin/tls/storage.h"

/* ---- keys and signatures ---- */

static int digit(char c)
{
	static const char all[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
	const char *at = c ? strchr(all, c) : NULL;
	assert_non_null(at);
	return (int)(at - all);
}

static size_t decode(uint8_t *to, const char *s)
{
	size_t n = 0;
	unsigned bits = 0, have = 0;
	for (; *s; s++) {
		bits = bits << 6 | (unsigned)digit(*s);
		have += 6;
		if (have >= 8)
			to[n++] = (uint8_t)(bits >> (have -= 8));
	}
	return n;
}

/* The key of RFC 7515 A.3.1. */
static struct fl_acme_key *rfc_key(void)
{
	static const char *const parts[] = { "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU", "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
					     "jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI" };
	uint8_t b[3][48];
	gnutls_datum_t d[3], pem;
	gnutls_x509_privkey_t k;
	struct fl_err e;
	for (int i = 0; i < 3; i++)
		d[i] = (gnutls_datum_t){ b[i], (unsigned)decode(b[i], parts[i]) };
	gnutls_x509_privkey_init(&k);
	assert_int_equal(gnutls_x509_privkey_import_ecc_raw(k, GNUTLS_ECC_CURVE_SECP256R1, &d[0], &d[1], &d[2]), 0);
	assert_int_equal(gnutls_x509_privkey_export2_pkcs8(k, GNUTLS_X509_FMT_PEM, NULL, GNUTLS_PKCS_PLAIN, &pem), 0);
	struct fl_acme_key *key = fl_acme_key_parse((struct fl_str){ (char *)pem.data, pem.size }, &e);
	assert_non_null(key);
	gnutls_free(pem.data);
	gnutls_x509_privkey_deinit(k);
	return key;
}

/* Made by other means: hashlib over the JSON that RFC 7638 §3 wants. */
static void test_thumbprint(void **state)
{
	(void)state;
	struct fl_acme_key *k = rfc_key();
	char to[FL_ACME_HASH];
	fl_acme_thumbprint(k, to);
	assert_string_equal(to, "oKIywvGUpTVTyxMQ3bwIIeQUudfr_CkLMjCE19ECD-U");
	fl_acme_dns01(k, "LoqXcYV8q5ONbJQxbmR7SCTNo3tiAXDfowyjxAjEuX0", to);
	assert_string_equal(to, "TsRKynps8WR2t_mg14_-b9KAPI5z6dVS6CzKil2SuXU");
	fl_acme_key_destroy(k);
}

/* The parts of a JWS, the header and payload decoded; the signature is verified by the public key of RFC 7515 A.3. */
static void read_jws(const char *text, const struct fl_acme_key *k, char head[2048], char load[2048])
{
	cJSON *o = cJSON_Parse(text);
	const char *part[3];
	static const char *const names[] = { "protected", "payload", "signature" };
	assert_int_equal(cJSON_GetArraySize(o), 3);
	for (int i = 0; i < 3; i++)
		part[i] = cJSON_GetStringValue(cJSON_GetObjectItem(o, names[i]));
	head[decode((uint8_t *)head, part[0])] = 0;
	load[decode((uint8_t *)load, part[1])] = 0;
	uint8_t sig[80];
	assert_int_equal(decode(sig, part[2]), 64);
	char signing[4096];
	int n = snprintf(signing, sizeof signing, "%s.%s", part[0], part[1]);
	gnutls_datum_t r = { sig, 32 }, s = { sig + 32, 32 }, der, data = { (uint8_t *)signing, (unsigned)n }, pem;
	assert_int_equal(gnutls_encode_rs_value(&der, &r, &s), 0);
	gnutls_privkey_t priv;
	gnutls_pubkey_t pub;
	char *text_pem = fl_acme_key_pem(k);
	pem = (gnutls_datum_t){ (uint8_t *)text_pem, (unsigned)strlen(text_pem) };
	gnutls_privkey_init(&priv);
	gnutls_pubkey_init(&pub);
	assert_int_equal(gnutls_privkey_import_x509_raw(priv, &pem, GNUTLS_X509_FMT_PEM, NULL, 0), 0);
	assert_int_equal(gnutls_pubkey_import_privkey(pub, priv, 0, 0), 0);
	assert_true(gnutls_pubkey_verify_data2(pub, GNUTLS_SIGN_ECDSA_SHA256, 0, &data, &der) >= 0);
	signing[0] ^= 1;
	assert_true(gnutls_pubkey_verify_data2(pub, GNUTLS_SIGN_ECDSA_SHA256, 0, &data, &der) < 0);
	gnutls_free(der.data);
	gnutls_privkey_deinit(priv);
	gnutls_pubkey_deinit(pub);
	free(text_pem);
	cJSON_Delete(o);
}

static void test_jws(void **state)
{
	(void)state;
	struct fl_acme_key *k = rfc_key();
	char head[2048], load[2048];
	for (int i = 0; i < 40; i++) {          /* r and s that begin with zeros come up by themselves */
		char *jws = fl_acme_jws(k, NULL, "6S8IqOGY7eL2lsGoTZYifg", "https://example.com/acme/new-account", "{\"x\":\"\\u00e9\"}");
		read_jws(jws, k, head, load);
		free(jws);
	}
	assert_string_equal(head, "{\"alg\":\"ES256\",\"jwk\":{\"crv\":\"P-256\",\"kty\":\"EC\",\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\","
				  "\"y\":\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\"},\"nonce\":\"6S8IqOGY7eL2lsGoTZYifg\","
				  "\"url\":\"https://example.com/acme/new-account\"}");
	assert_string_equal(load, "{\"x\":\"\\u00e9\"}");
	char *jws = fl_acme_jws(k, "https://example.com/acme/acct/1", "n", "https://example.com/o", "");
	assert_non_null(strstr(jws, "\"payload\":\"\""));
	read_jws(jws, k, head, load);
	assert_string_equal(head, "{\"alg\":\"ES256\",\"kid\":\"https://example.com/acme/acct/1\",\"nonce\":\"n\",\"url\":\"https://example.com/o\"}");
	free(jws);
	fl_acme_key_destroy(k);
}

static void test_keys(void **state)
{
	(void)state;
	struct fl_err e;
	struct fl_acme_key *a = fl_acme_key_create(), *b = fl_acme_key_create();
	char ta[FL_ACME_HASH], tb[FL_ACME_HASH];
	fl_acme_thumbprint(a, ta);
	fl_acme_thumbprint(b, tb);
	assert_string_not_equal(ta, tb);
	char *pem = fl_acme_key_pem(a);
	assert_int_equal(strncmp(pem, "-----BEGIN EC PRIVATE KEY-----\n", 31), 0);
	struct fl_acme_key *again = fl_acme_key_parse(fl_str(pem), &e);
	fl_acme_thumbprint(again, tb);
	assert_string_equal(ta, tb);
	assert_null(fl_acme_key_parse(FL_STR("rubbish"), &e));
	assert_null(fl_acme_key_parse(FL_STR(""), &e));
	gnutls_x509_privkey_t other;
	gnutls_datum_t d;
	gnutls_x509_privkey_init(&other);
	gnutls_x509_privkey_generate(other, GNUTLS_PK_ECDSA, GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP384R1), 0);
	gnutls_x509_privkey_export2(other, GNUTLS_X509_FMT_PEM, &d);
	assert_null(fl_acme_key_parse((struct fl_str){ (char *)d.data, d.size }, &e));
	assert_string_equal(e.msg, "the private key is not of the curve P-256");
	gnutls_x509_privkey_deinit(other);
	gnutls_free(d.data);
	free(pem);
	fl_acme_key_destroy(a);
	fl_acme_key_destroy(b);
	fl_acme_key_destroy(again);
}

static void test_csr(void **state)
{
	(void)state;
	struct fl_acme_key *k = rfc_key();
	static const char *const names[] = { "dns.example", "*.dns.example" };
	for (int i = 0; i < 2; i++) {
		char *text = fl_acme_csr(k, names[i]), san[300];
		uint8_t der[2048];
		gnutls_datum_t d = { der, (unsigned)decode(der, text) };
		gnutls_x509_crq_t crq;
		gnutls_x509_crq_init(&crq);
		assert_int_equal(gnutls_x509_crq_import(crq, &d, GNUTLS_X509_FMT_DER), 0);
		assert_true(gnutls_x509_crq_verify(crq, 0) >= 0);
		size_t n = sizeof san;
		unsigned type, critical;
		assert_int_equal(gnutls_x509_crq_get_subject_alt_name(crq, 0, san, &n, &type, &critical), GNUTLS_SAN_DNSNAME);
		assert_int_equal(n, strlen(names[i]));
		assert_memory_equal(san, names[i], n);
		n = sizeof san;
		assert_true(gnutls_x509_crq_get_subject_alt_name(crq, 1, san, &n, &type, &critical) < 0);
		gnutls_x509_crq_deinit(crq);
		free(text);
	}
	fl_acme_key_destroy(k);
}

/* A self-signed certificate for a key and a name; PEM. */
static char *certificate(const struct fl_acme_key *k, const char *name, int64_t from, int64_t until)
{
	gnutls_x509_crt_t c;
	gnutls_x509_privkey_t p;
	char *pem = fl_acme_key_pem(k);
	gnutls_datum_t d = { (uint8_t *)pem, (unsigned)strlen(pem) }, out;
	gnutls_x509_privkey_init(&p);
	gnutls_x509_privkey_import(p, &d, GNUTLS_X509_FMT_PEM);
	gnutls_x509_crt_init(&c);
	gnutls_x509_crt_set_version(c, 3);
	gnutls_x509_crt_set_serial(c, "\1", 1);
	gnutls_x509_crt_set_activation_time(c, (time_t)from);
	gnutls_x509_crt_set_expiration_time(c, (time_t)until);
	gnutls_x509_crt_set_key(c, p);
	gnutls_x509_crt_set_subject_alt_name(c, GNUTLS_SAN_DNSNAME, name, (unsigned)strlen(name), GNUTLS_FSAN_SET);
	assert_int_equal(gnutls_x509_crt_sign2(c, c, p, GNUTLS_DIG_SHA256, 0), 0);
	gnutls_x509_crt_export2(c, GNUTLS_X509_FMT_PEM, &out);
	char *text = fl_xstrndup((char *)out.data, out.size);
	gnutls_free(out.data);
	gnutls_x509_crt_deinit(c);
	gnutls_x509_privkey_deinit(p);
	free(pem);
	return text;
}

static void test_chain(void **state)
{
	(void)state;
	struct fl_acme_key *k = fl_acme_key_create(), *other = fl_acme_key_create();
	struct fl_err e;
	int64_t from, until;
	char *pem = certificate(k, "a.example", 1000000, 2000000);
	assert_int_equal(fl_acme_chain(fl_str(pem), k, "a.example", &from, &until, &e), 0);
	assert_int_equal(from, 1000000);
	assert_int_equal(until, 2000000);
	assert_int_equal(fl_acme_chain(fl_str(pem), other, "a.example", &from, &until, &e), -EINVAL);
	assert_string_equal(e.msg, "the certificate is not for the private key");
	assert_int_equal(fl_acme_chain(fl_str(pem), k, "b.example", &from, &until, &e), -EINVAL);
	assert_string_equal(e.msg, "the certificate does not name b.example");
	assert_int_equal(fl_acme_chain(FL_STR("-----BEGIN CERTIFICATE-----\n"), k, "a.example", &from, &until, &e), -EINVAL);
	assert_int_equal(fl_acme_chain(FL_STR(""), k, "a.example", &from, &until, &e), -EINVAL);
	free(pem);
	fl_acme_key_destroy(k);
	fl_acme_key_destroy(other);
}

/* ---- the state machine ---- */

#define U "https://ca.example"
#define PROBLEM(type, detail) "{\"type\":\"urn:ietf:params:acme:error:" type "\",\"detail\":\"" detail "\"}"

/* A question that must come, and its answer. */
struct turn { const char *url; bool post; unsigned wait_ms; int status; const char *nonce, *location, *body; int retry_after_s; };

static const struct turn directory = { U "/dir", false, 0, 200, "", "", "{\"newNonce\":\"" U "/nonce\",\"newAccount\":\"" U "/acct\",\"newOrder\":\"" U "/order\"}", -1 };
static const struct turn nonce = { U "/nonce", false, 0, 204, "n0", "", "", -1 };
static const struct turn account = { U "/acct", true, 0, 201, "n1", U "/acct/7", "{\"status\":\"valid\"}", -1 };
static const struct turn order = { U "/order", true, 0, 201, "n2", U "/o/1", "{\"status\":\"pending\",\"authorizations\":[\"" U "/z/1\"],\"finalize\":\"" U "/f/1\"}", -1 };
#define AUTHZ(status, cstatus) "{\"status\":\"" status "\",\"challenges\":[{\"type\":\"http-01\",\"token\":\"h\"},{\"type\":\"dns-01\",\"status\":\"" cstatus \
			       "\",\"url\":\"" U "/c/1\",\"token\":\"LoqXcYV8q5ONbJQxbmR7SCTNo3tiAXDfowyjxAjEuX0\"}]}"
static const struct turn authz = { U "/z/1", true, 0, 200, "n3", "", AUTHZ("pending", "pending"), -1 };
static const struct turn challenge = { U "/c/1", true, 0, 200, "n4", "", "{\"status\":\"processing\"}", -1 };
static const struct turn decided = { U "/z/1", true, 250, 200, "n5", "", AUTHZ("valid", "valid"), -1 };
static const struct turn ready = { U "/o/1", true, 0, 200, "n6", "", "{\"status\":\"ready\"}", -1 };
static const struct turn finalize = { U "/f/1", true, 0, 200, "n7", "", "{\"status\":\"valid\",\"certificate\":\"" U "/crt/1\"}", -1 };
static const struct turn cert = { U "/crt/1", true, 0, 200, "n8", "", "PEM", -1 };

static struct fl_acme_key *akey, *ckey;

static void begin(struct fl_acme_flow *f, const char *kid)
{
	*f = (struct fl_acme_flow){ .account = akey, .key = ckey, .directory = U "/dir", .email = "me@example", .name = "*.dns.example",
				    .kid = kid ? fl_xstrndup(kid, strlen(kid)) : NULL };
}

/* Plays the turns; what is left to do when they are over. */
static enum fl_acme_do play(struct fl_acme_flow *f, const struct turn *const *turns)
{
	enum fl_acme_do d = fl_acme_flow_start(f);
	for (; *turns; turns++) {
		const struct turn *t = *turns;
		assert_int_equal(d, FL_ACME_ASK);
		assert_string_equal(f->url, t->url);
		assert_int_equal(f->post != NULL, t->post);
		assert_int_equal(f->wait_ms, t->wait_ms);
		struct fl_acme_answer a = { t->status, t->retry_after_s, fl_str(t->nonce), fl_str(t->location), fl_str(t->body) };
		d = fl_acme_flow_answer(f, &a);
	}
	return d;
}
#define PLAY(f, ...) play(f, (const struct turn *const[]){ __VA_ARGS__, NULL })

static void payload_is(const struct fl_acme_flow *f, const char *want)
{
	char head[2048], load[2048];
	read_jws(f->post, f->account, head, load);
	assert_string_equal(load, want);
}

static void test_happy(void **state)
{
	(void)state;
	struct fl_acme_flow f;
	begin(&f, NULL);
	assert_int_equal(PLAY(&f, &directory, &nonce), FL_ACME_ASK);
	payload_is(&f, "{\"termsOfServiceAgreed\":true,\"contact\":[\"mailto:me@example\"]}");
	fl_acme_flow_finish(&f);
	begin(&f, NULL);
	assert_int_equal(PLAY(&f, &directory, &nonce, &account), FL_ACME_ASK);
	payload_is(&f, "{\"identifiers\":[{\"type\":\"dns\",\"value\":\"*.dns.example\"}]}");
	assert_non_null(f.kid);
	fl_acme_flow_finish(&f);
	begin(&f, NULL);
	assert_int_equal(PLAY(&f, &directory, &nonce, &account, &order, &authz), FL_ACME_ASK);
	payload_is(&f, "{}");
	assert_true(f.show);                    /* before the CA is told to look */
	assert_string_equal(f.txt, "TsRKynps8WR2t_mg14_-b9KAPI5z6dVS6CzKil2SuXU");
	fl_acme_flow_finish(&f);
	begin(&f, NULL);
	assert_int_equal(PLAY(&f, &directory, &nonce, &account, &order, &authz, &challenge, &decided, &ready, &finalize, &cert), FL_ACME_DONE);
	assert_string_equal(f.chain, "PEM");
	fl_acme_flow_finish(&f);
	begin(&f, U "/acct/7");                 /* the account is known */
	struct turn first = order;
	assert_int_equal(PLAY(&f, &directory, &nonce, &first, &authz), FL_ACME_ASK);
	fl_acme_flow_finish(&f);
}

/* Three times another nonce, not a fourth; the answer that refuses one may bring the next, or not. */
static void test_bad_nonce(void **state)
{
	(void)state;
	struct fl_acme_flow f;
	struct turn bad = order, bare = order;
	bad.status = bare.status = 400;
	bad.body = bare.body = PROBLEM("badNonce", "stale");
	bare.nonce = "not a nonce";
	begin(&f, NULL);
	assert_int_equal(PLAY(&f, &directory, &nonce, &account, &bad, &bare, &nonce, &bad, &order, &authz), FL_ACME_ASK);
	fl_acme_flow_finish(&f);
	begin(&f, NULL);
	assert_int_equal(PLAY(&f, &directory, &nonce, &account, &bad, &bad, &bad, &bad), FL_ACME_FAILED);
	assert_string_equal(f.err.msg, "newOrder: HTTP 400 urn:ietf:params:acme:error:badNonce - stale");
	fl_acme_flow_finish(&f);
}

static void test_refused(void **state)
{
	(void)state;
	struct fl_acme_flow f;
	struct turn limited = order, gone = order, sick = order, lost = nonce, odd = directory;
	limited.status = 429;
	limited.retry_after_s = 7200;
	limited.body = "{\"type\":\"urn:ietf:params:acme:error:rateLimited\",\"detail\":\"too\\nmany\",\"subproblems\":[{\"detail\":\"a.example\"}]}";
	begin(&f, NULL);
	assert_int_equal(PLAY(&f, &directory, &nonce, &account, &limited), FL_ACME_FAILED);
	assert_string_equal(f.err.msg, "newOrder: HTTP 429 urn:ietf:params:acme:error:rateLimited - too many (a.example)");
	assert_int_equal(f.retry_after_s, 7200);
	assert_false(f.account_gone);
	fl_acme_flow_finish(&f);
	gone.status = 400;
	gone.body = PROBLEM("accountDoesNotExist", "who?");
	begin(&f, U "/acct/7");
	assert_int_equal(PLAY(&f, &directory, &nonce, &gone), FL_ACME_FAILED);
	assert_true(f.account_gone);
	fl_acme_flow_finish(&f);
	sick.status = 503;
	sick.body = "<html>";
	struct turn again = sick, well = order;
	again.wait_ms = well.wait_ms = 1000;
	begin(&f, NULL);
	assert_int_equal(PLAY(&f, &directory, &nonce, &account, &sick, &again, &well, &authz), FL_ACME_ASK);
	fl_acme_flow_finish(&f);
	begin(&f, NULL);
	assert_int_equal(PLAY(&f, &directory, &nonce, &account, &sick, &again, &again), FL_ACME_FAILED);
	assert_string_equal(f.err.msg, "newOrder: HTTP 503");
	fl_acme_flow_finish(&f);
	sick.retry_after_s = 120;               /* so long it is not waited for here */
	begin(&f, NULL);
	assert_int_equal(PLAY(&f, &directory, &nonce, &account, &sick), FL_ACME_FAILED);
	assert_int_equal(f.retry_after_s, 120);
	fl_acme_flow_finish(&f);
	sick.retry_after_s = 3;
	again = sick;
	again.wait_ms = 3000;
	begin(&f, NULL);
	assert_int_equal(PLAY(&f, &directory, &nonce, &account, &sick, &again), FL_ACME_ASK);
	fl_acme_flow_finish(&f);
	lost.nonce = "";
	begin(&f, NULL);
	assert_int_equal(PLAY(&f, &directory, &lost), FL_ACME_FAILED);
	assert_string_equal(f.err.msg, "newNonce: no Replay-Nonce");
	fl_acme_flow_finish(&f);
	odd.body = "{\"newNonce\":\"" U "/n\\r\\nHost: x\",\"newAccount\":\"" U "\",\"newOrder\":\"" U "\"}";
	begin(&f, NULL);
	assert_int_equal(PLAY(&f, &odd), FL_ACME_FAILED);       /* a line end in a URL */
	fl_acme_flow_finish(&f);
}

static void test_invalid(void **state)
{
	(void)state;
	struct fl_acme_flow f;
	struct turn no = decided, none = authz, given_up = authz, known = authz, order_no = ready;
	no.body = "{\"status\":\"invalid\",\"challenges\":[{\"type\":\"dns-01\",\"status\":\"invalid\",\"error\":{\"type\":\"urn:ietf:params:acme:error:dns\","
		  "\"detail\":\"NXDOMAIN\",\"status\":400}}]}";
	begin(&f, NULL);
	assert_int_equal(PLAY(&f, &directory, &nonce, &account, &order, &authz, &challenge, &no), FL_ACME_FAILED);
	assert_string_equal(f.err.msg, "the authorization: HTTP 400 urn:ietf:params:acme:error:dns - NXDOMAIN");
	fl_acme_flow_finish(&f);
	none.body = "{\"status\":\"pending\",\"challenges\":[{\"type\":\"http-01\"}]}";
	begin(&f, NULL);
	assert_int_equal(PLAY(&f, &directory, &nonce, &account, &order, &none), FL_ACME_FAILED);
	assert_string_equal(f.err.msg, "the authorization: the CA offers no dns-01 challenge");
	assert_false(f.show);
	fl_acme_flow_finish(&f);
	given_up.body = AUTHZ("deactivated", "pending");
	begin(&f, NULL);
	assert_int_equal(PLAY(&f, &directory, &nonce, &account, &order, &given_up), FL_ACME_FAILED);
	fl_acme_flow_finish(&f);
	known.body = AUTHZ("valid", "valid");   /* the CA remembers: nothing is shown */
	begin(&f, NULL);
	assert_int_equal(PLAY(&f, &directory, &nonce, &account, &order, &known, &ready, &finalize, &cert), FL_ACME_DONE);
	assert_false(f.show);
	fl_acme_flow_finish(&f);
	order_no.body = "{\"status\":\"invalid\",\"error\":" PROBLEM("caa", "not us") "}";
	begin(&f, NULL);
	assert_int_equal(PLAY(&f, &directory, &nonce, &account, &order, &known, &order_no), FL_ACME_FAILED);
	assert_string_equal(f.err.msg, "the order: urn:ietf:params:acme:error:caa - not us");
	fl_acme_flow_finish(&f);
}

/* One after the other, each with its own record. */
static void test_two_authorizations(void **state)
{
	(void)state;
	struct fl_acme_flow f;
	struct turn two = order, second = authz, done = challenge, valid = decided;
	two.body = "{\"status\":\"pending\",\"authorizations\":[\"" U "/z/1\",\"" U "/z/2\"],\"finalize\":\"" U "/f/1\"}";
	second.url = valid.url = U "/z/2";
	second.body = "{\"status\":\"pending\",\"challenges\":[{\"type\":\"dns-01\",\"status\":\"pending\",\"url\":\"" U "/c/2\",\"token\":\"other\"}]}";
	done.url = U "/c/2";
	begin(&f, NULL);
	assert_int_equal(PLAY(&f, &directory, &nonce, &account, &two, &authz, &challenge, &decided), FL_ACME_ASK);
	assert_false(f.show);
	fl_acme_flow_finish(&f);
	begin(&f, NULL);
	assert_int_equal(PLAY(&f, &directory, &nonce, &account, &two, &authz, &challenge, &decided, &second, &done, &valid, &ready, &finalize,
			      &cert), FL_ACME_DONE);
	fl_acme_flow_finish(&f);
}

/* Undecided: asked again, later and later, as the CA says when it says, and not for ever. */
static void test_polling(void **state)
{
	(void)state;
	struct fl_acme_flow f;
	struct turn p[4], slow = decided, pending = ready, processing = finalize, valid = finalize;
	for (int i = 0; i < 4; i++) {
		p[i] = decided;
		p[i].body = AUTHZ("pending", "processing");
		p[i].wait_ms = 250u << i;
	}
	p[3].retry_after_s = 9;
	slow.wait_ms = 9000;
	pending.body = "{\"status\":\"pending\"}";
	struct turn ready_later = ready;
	ready_later.wait_ms = 250;
	processing.body = "{\"status\":\"processing\"}";
	valid.url = U "/o/1";
	valid.wait_ms = 250;
	begin(&f, NULL);
	assert_int_equal(PLAY(&f, &directory, &nonce, &account, &order, &authz, &challenge, &p[0], &p[1], &p[2], &p[3], &slow, &pending, &ready_later,
			      &processing, &valid, &cert), FL_ACME_DONE);
	fl_acme_flow_finish(&f);
	begin(&f, NULL);
	enum fl_acme_do d = PLAY(&f, &directory, &nonce, &account, &order, &authz, &challenge);
	unsigned n = 0, ms = 0;
	while (d == FL_ACME_ASK) {
		struct fl_acme_answer a = { 200, -1, FL_STR("n"), FL_STR(""), fl_str(p[0].body) };
		ms += f.wait_ms;
		n++;
		d = fl_acme_flow_answer(&f, &a);
	}
	assert_int_equal(d, FL_ACME_FAILED);
	assert_string_equal(f.err.msg, "the authorization: the CA has not decided within 5 minutes");
	assert_in_range(n, 25, 45);
	assert_in_range(ms, 280000, 300000);
	fl_acme_flow_finish(&f);
}

static void test_when(void **state)
{
	(void)state;
	assert_int_equal(fl_acme_retry_ms(1, false, -1), 1000);
	assert_int_equal(fl_acme_retry_ms(6, false, -1), 32000);
	assert_int_equal(fl_acme_retry_ms(7, false, -1), 60000);
	assert_int_equal(fl_acme_retry_ms(1, true, -1), 60000);
	assert_int_equal(fl_acme_retry_ms(4, true, 5), 300000);
	assert_int_equal(fl_acme_retry_ms(1, true, 7200), 7200000);
	assert_int_equal(fl_acme_retry_ms(1, true, 1 << 30), 86400000);
	assert_int_equal(fl_acme_retry_ms(1000, true, -1), 6 * 3600000);
	assert_int_equal(fl_acme_retry_ms(1000, false, -1), 6 * 3600000);
	assert_int_equal(fl_acme_renew_at(1000, 1900), 1600);
	assert_int_equal(fl_acme_renew_at(1900, 1000), 1000);
}

/* ---- files ---- */

static void path_is(const struct fl_acme_storage *s, enum fl_acme_file f, const char *name, const char *want)
{
	char *p = fl_acme_path(s, f, name);
	assert_string_equal(p, want);
	free(p);
}

/* As certmagic builds them. */
static void test_paths(void **state)
{
	(void)state;
	struct fl_acme_storage s = { "/s", "https://acme-v02.api.letsencrypt.org/directory", "Host Master+x@Example.org" };
	path_is(&s, FL_ACME_ACCOUNT, NULL, "/s/acme/acme-v02.api.letsencrypt.org-directory/users/host_master_plus_x@example.org/host_master_plus_x.json");
	path_is(&s, FL_ACME_CERT, "*.a.example", "/s/certificates/acme-v02.api.letsencrypt.org-directory/wildcard_.a.example/wildcard_.a.example.crt");
	s = (struct fl_acme_storage){ "/s", "http://ca:14000/a/../b/", "" };
	path_is(&s, FL_ACME_ACCOUNT_KEY, NULL, "/s/acme/ca-14000-a--b/users/default/default.key");
	s = (struct fl_acme_storage){ "/s", "https://ca", "../../../etc/x" };
	path_is(&s, FL_ACME_ACCOUNT_KEY, NULL, "/s/acme/ca/users/etcx/etcx.key");
}

static void test_files(void **state)
{
	(void)state;
	char folder[] = "/tmp/acme-XXXXXX", text_path[300];
	assert_non_null(mkdtemp(folder));
	struct fl_acme_storage s = { folder, "https://ca/d", "" };
	struct fl_err e;
	struct stat st;
	char *text = NULL;
	assert_int_equal(fl_acme_read(&s, FL_ACME_CERT_KEY, "a.example", &text, &e), -ENOENT);
	assert_int_equal(fl_acme_write(&s, FL_ACME_CERT_KEY, "a.example", "one", &e), 0);
	char *path = fl_acme_path(&s, FL_ACME_CERT_KEY, "a.example");
	assert_int_equal(fl_acme_write(&s, FL_ACME_CERT_KEY, "a.example", "two", &e), 0);
	assert_int_equal(fl_acme_read(&s, FL_ACME_CERT_KEY, "a.example", &text, &e), 0);
	assert_string_equal(text, "two");
	free(text);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	unlink(path);
	mkdir(path, 0700);                      /* it cannot be written: named, and what was aside is gone */
	assert_int_equal(fl_acme_write(&s, FL_ACME_CERT_KEY, "a.example", "three", &e), -EISDIR);
	assert_non_null(strstr(e.msg, path));
	rmdir(path);
	snprintf(text_path, sizeof text_path, "%.*s", (int)(strrchr(path, '/') - path), path);
	assert_int_equal(rmdir(text_path), 0);
	free(path);
	char command[100];
	snprintf(command, sizeof command, "rm -r %s", folder);
	assert_int_equal(system(command), 0);
}

/* Two processes with one storage: each file is one of theirs, and whole. */
static void test_two_writers(void **state)
{
	(void)state;
	char folder[] = "/tmp/acme-XXXXXX", text[2][20000], *got;
	assert_non_null(mkdtemp(folder));
	struct fl_acme_storage s = { folder, "https://ca/d", "" };
	struct fl_err e;
	pid_t child[2];
	for (int i = 0; i < 2; i++) {
		memset(text[i], 'a' + i, sizeof text[i] - 1);
		text[i][sizeof text[i] - 1] = 0;
	}
	assert_int_equal(fl_acme_write(&s, FL_ACME_ACCOUNT_KEY, NULL, text[0], &e), 0);
	for (int i = 0; i < 2; i++)
		if (!(child[i] = fork())) {
			unsigned failed = 0;
			for (int k = 0; k < 50; k++)
				failed += fl_acme_write(&s, FL_ACME_ACCOUNT_KEY, NULL, text[i], &e) != 0;
			_exit(failed != 0);
		}
	for (int k = 0; k < 200; k++) {
		assert_int_equal(fl_acme_read(&s, FL_ACME_ACCOUNT_KEY, NULL, &got, &e), 0);
		assert_true(!strcmp(got, text[0]) || !strcmp(got, text[1]));
		free(got);
	}
	for (int i = 0, status; i < 2; i++) {
		assert_int_equal(waitpid(child[i], &status, 0), child[i]);
		assert_int_equal(status, 0);
	}
	char command[100];
	snprintf(command, sizeof command, "rm -r %s", folder);
	assert_int_equal(system(command), 0);
}

static int keys_up(void **state)
{
	(void)state;
	akey = rfc_key();
	ckey = fl_acme_key_create();
	return 0;
}

static int keys_down(void **state)
{
	(void)state;
	fl_acme_key_destroy(akey);
	fl_acme_key_destroy(ckey);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_thumbprint), cmocka_unit_test(test_jws), cmocka_unit_test(test_keys), cmocka_unit_test(test_csr),
		cmocka_unit_test(test_chain), cmocka_unit_test(test_happy), cmocka_unit_test(test_bad_nonce), cmocka_unit_test(test_refused),
		cmocka_unit_test(test_invalid), cmocka_unit_test(test_two_authorizations), cmocka_unit_test(test_polling), cmocka_unit_test(test_when), cmocka_unit_test(test_paths),
		cmocka_unit_test(test_files), cmocka_unit_test(test_two_writers),
	};
	return cmocka_run_group_tests(tests, keys_up, keys_down);
}

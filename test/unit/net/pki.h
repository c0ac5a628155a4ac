/* pki: a certification authority and a certificate of it for api.test and 127.0.0.1, made for a test. */
#pragma once
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <string.h>
#include <time.h>
#include "base/str.h"

struct pki { gnutls_datum_t ca, cert, key; };

static gnutls_x509_crt_t make_cert(time_t until, const char *cn, gnutls_x509_privkey_t key, gnutls_x509_crt_t ca, gnutls_x509_privkey_t ca_key)
{
	gnutls_x509_crt_t c;
	unsigned char ip[4] = { 127, 0, 0, 1 };
	gnutls_x509_crt_init(&c);
	gnutls_x509_crt_set_version(c, 3);
	gnutls_x509_crt_set_serial(c, ca ? "\x02" : "\x01", 1);
	gnutls_x509_crt_set_dn_by_oid(c, GNUTLS_OID_X520_COMMON_NAME, 0, cn, (unsigned)strlen(cn));
	gnutls_x509_crt_set_activation_time(c, time(NULL) - 7200);
	gnutls_x509_crt_set_expiration_time(c, until);
	gnutls_x509_crt_set_key(c, key);
	gnutls_x509_crt_set_basic_constraints(c, !ca, -1);
	if (ca) {
		gnutls_x509_crt_set_subject_alt_name(c, GNUTLS_SAN_DNSNAME, "api.test", 8, GNUTLS_FSAN_APPEND);
		gnutls_x509_crt_set_subject_alt_name(c, GNUTLS_SAN_IPADDRESS, ip, 4, GNUTLS_FSAN_APPEND);
	} else {
		gnutls_x509_crt_set_key_usage(c, GNUTLS_KEY_KEY_CERT_SIGN);
	}
	assert_int_equal(gnutls_x509_crt_sign2(c, ca ? ca : c, ca ? ca_key : key, GNUTLS_DIG_SHA256, 0), 0);
	return c;
}

/* The leaf expires at `until`. */
static void make_pki_until(struct pki *p, time_t until)
{
	gnutls_x509_privkey_t ca_key, key;
	gnutls_x509_privkey_init(&ca_key);
	gnutls_x509_privkey_init(&key);
	gnutls_x509_privkey_generate(ca_key, GNUTLS_PK_ECDSA, GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1), 0);
	gnutls_x509_privkey_generate(key, GNUTLS_PK_ECDSA, GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1), 0);
	gnutls_x509_crt_t ca = make_cert(time(NULL) + 86400, "ca", ca_key, NULL, NULL), cert = make_cert(until, "leaf", key, ca, ca_key);
	gnutls_x509_crt_export2(ca, GNUTLS_X509_FMT_PEM, &p->ca);
	gnutls_x509_crt_export2(cert, GNUTLS_X509_FMT_PEM, &p->cert);
	gnutls_x509_privkey_export2(key, GNUTLS_X509_FMT_PEM, &p->key);
	gnutls_x509_crt_deinit(ca);
	gnutls_x509_crt_deinit(cert);
	gnutls_x509_privkey_deinit(ca_key);
	gnutls_x509_privkey_deinit(key);
}

static inline void make_pki(struct pki *p) { make_pki_until(p, time(NULL) + 86400); }

static void free_pki(struct pki *p)
{
	gnutls_free(p->ca.data);
	gnutls_free(p->cert.data);
	gnutls_free(p->key.data);
}

static inline struct fl_str text(gnutls_datum_t d) { return (struct fl_str){ (const char *)d.data, d.size }; }

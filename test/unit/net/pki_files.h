/* Certificates for tests, made when they run: an authority, and what it signs, as files in a folder of the test. */
#pragma once
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

struct pki { char dir[64]; gnutls_x509_crt_t ca; gnutls_x509_privkey_t ca_key; };

static char *pki_path(const struct pki *p, const char *name)
{
	static char path[4][128];
	static unsigned i;
	char *to = path[i++ % 4];
	snprintf(to, sizeof path[0], "%s/%s", p->dir, name);
	return to;
}

static void pki_write(const struct pki *p, const char *name, const char *text, size_t n)
{
	char tmp[140];
	snprintf(tmp, sizeof tmp, "%s.new", pki_path(p, name));
	FILE *f = fopen(tmp, "w");
	assert_non_null(f);
	assert_int_equal(fwrite(text, 1, n, f), n);
	fclose(f);
	rename(tmp, pki_path(p, name));
}

static gnutls_x509_privkey_t pki_key(void)
{
	gnutls_x509_privkey_t key;
	gnutls_x509_privkey_init(&key);
	assert_int_equal(gnutls_x509_privkey_generate(key, GNUTLS_PK_ECDSA, GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1), 0), 0);
	return key;
}

static gnutls_x509_crt_t pki_cert(const struct pki *p, const char *name, gnutls_x509_privkey_t key, const char *usage)
{
	static unsigned char serial;
	gnutls_x509_crt_t c;
	gnutls_x509_crt_init(&c);
	gnutls_x509_crt_set_version(c, 3);
	gnutls_x509_crt_set_key(c, key);
	serial++;
	gnutls_x509_crt_set_serial(c, &serial, 1);
	gnutls_x509_crt_set_dn_by_oid(c, GNUTLS_OID_X520_COMMON_NAME, 0, name, (unsigned)strlen(name));
	gnutls_x509_crt_set_activation_time(c, time(NULL) - 3600);
	gnutls_x509_crt_set_expiration_time(c, time(NULL) + 24 * 3600);
	if (usage) {
		gnutls_x509_crt_set_subject_alt_name(c, GNUTLS_SAN_DNSNAME, "localhost", 9, GNUTLS_FSAN_SET);
		gnutls_x509_crt_set_key_purpose_oid(c, usage, 0);
	} else {
		gnutls_x509_crt_set_basic_constraints(c, 1, -1);
		gnutls_x509_crt_set_key_usage(c, GNUTLS_KEY_KEY_CERT_SIGN);
	}
	assert_int_equal(gnutls_x509_crt_sign2(c, p->ca ? p->ca : c, p->ca ? p->ca_key : key, GNUTLS_DIG_SHA256, 0), 0);
	return c;
}

static void pki_export(const struct pki *p, const char *name, gnutls_x509_crt_t c, gnutls_x509_privkey_t key)
{
	char file[64];
	gnutls_datum_t d;
	snprintf(file, sizeof file, "%s.pem", name);
	assert_int_equal(gnutls_x509_crt_export2(c, GNUTLS_X509_FMT_PEM, &d), 0);
	pki_write(p, file, (char *)d.data, d.size);
	gnutls_free(d.data);
	snprintf(file, sizeof file, "%s.key", name);
	assert_int_equal(gnutls_x509_privkey_export2(key, GNUTLS_X509_FMT_PEM, &d), 0);
	pki_write(p, file, (char *)d.data, d.size);
	gnutls_free(d.data);
}

/* NAME.pem and NAME.key. */
static void pki_issue(const struct pki *p, const char *name, const char *usage)
{
	gnutls_x509_privkey_t key = pki_key();
	gnutls_x509_crt_t c = pki_cert(p, name, key, usage);
	pki_export(p, name, c, key);
	gnutls_x509_crt_deinit(c);
	gnutls_x509_privkey_deinit(key);
}

/* A folder with an authority, ca.pem. */
static void pki_init(struct pki *p)
{
	memset(p, 0, sizeof *p);
	snprintf(p->dir, sizeof p->dir, "/tmp/fl-pki-XXXXXX");
	assert_non_null(mkdtemp(p->dir));
	gnutls_x509_privkey_t key = pki_key();
	gnutls_x509_crt_t c = pki_cert(p, "root", key, NULL);
	p->ca = c;
	p->ca_key = key;
	pki_export(p, "ca", c, key);
}

static void pki_finish(struct pki *p)
{
	char cmd[96];
	gnutls_x509_crt_deinit(p->ca);
	gnutls_x509_privkey_deinit(p->ca_key);
	snprintf(cmd, sizeof cmd, "rm -rf %s", p->dir);
	assert_int_equal(system(cmd), 0);
}

/* tls_policy: what a server's owner may choose of TLS, in the names of Go's crypto/tls, and what that is to GnuTLS. Pure.
 *
 * As in Go, a choice of cipher suites speaks of TLS 1.2 and before: TLS 1.3 has its three whatever was chosen. GnuTLS chooses key exchange
 * and cipher apart; a server has one key, so that only suites of its kind of key count, and then the two are one. */
#pragma once
#include "base/str.h"

enum { FL_TLS_SUITES = 13, FL_TLS_CURVES = 4, FL_TLS_PRIORITY = 512 };

struct fl_tls_policy {
	int min, max;                   /* 10 (TLS 1.0) .. 13; 0: 12, 13 */
	unsigned suites;                /* bits 1 << fl_tls_suite(); 0: all */
	unsigned char curve[FL_TLS_CURVES];     /* fl_tls_curve(), in the order of preference */
	unsigned ncurves;               /* 0: GnuTLS's own */
	const char *const *sans;        /* of clients' certificates, one of which each must name; NULL: any. Borrowed */
	unsigned nsans;
};

int fl_tls_suite(struct fl_str name);           /* "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"; -1: none that crypto/tls thinks safe */
int fl_tls_curve(struct fl_str name);           /* "CurveP256", "X25519" */
int fl_tls_version(struct fl_str name);         /* "TLS12": 12; -1 */

/* Priority strings of GnuTLS. before: for TLS 1.2 and earlier; from 13: for TLS 1.3; else for what may come. False: nothing is left. */
enum fl_tls_when { FL_TLS_ANY, FL_TLS_BEFORE_13, FL_TLS_FROM_13 };
bool fl_tls_priority(char to[FL_TLS_PRIORITY], const struct fl_tls_policy *p, bool rsa, enum fl_tls_when when);

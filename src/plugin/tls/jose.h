/* jose: the keys of ACME and what is said with them: JSON Web Signatures with ES256 (RFC 7515, 7518), thumbprints (RFC 7638), requests
 * for certificates (RFC 2986). Pure but for randomness; main thread. Strings that are returned are malloc'd. */
#pragma once
#include "base/err.h"

enum { FL_ACME_HASH = 44 };     /* a SHA-256 as base64url, with the NUL */

struct fl_acme_key;             /* a private key of P-256 */
struct fl_acme_key *fl_acme_key_create(void);           /* a new one; aborts when there is no memory or no randomness */
/* PEM, PKCS #8 or SEC 1. NULL with the words in e. */
struct fl_acme_key *fl_acme_key_parse(struct fl_str pem, struct fl_err *e);
void fl_acme_key_destroy(struct fl_acme_key *k);        /* NULL is fine */
char *fl_acme_key_pem(const struct fl_acme_key *k);     /* SEC 1 */

void fl_acme_thumbprint(const struct fl_acme_key *k, char to[FL_ACME_HASH]);
/* What the TXT record of a dns-01 challenge says (RFC 8555 §8.4). */
void fl_acme_dns01(const struct fl_acme_key *k, const char *token, char to[FL_ACME_HASH]);
/* The flattened JSON of a signed payload (RFC 8555 §6.2). kid: the account's URL; NULL: the key itself stands in the header. payload "":
 * POST-as-GET. */
char *fl_acme_jws(const struct fl_acme_key *k, const char *kid, const char *nonce, const char *url, const char *payload);
/* A request for a certificate for one name, DER as base64url. NULL: GnuTLS will not. */
char *fl_acme_csr(const struct fl_acme_key *k, const char *name);

/* Is this chain (PEM, the leaf first) for the key and the name, and from when to when (Unix seconds)? 0, or -EINVAL with the words. */
int fl_acme_chain(struct fl_str pem, const struct fl_acme_key *k, const char *name, int64_t *from, int64_t *until, struct fl_err *e);

/* flow: one certificate for one name from a CA, by ACME (RFC 8555) with the dns-01 challenge, as a pure machine: it says what to ask and
 * reads what is answered. No socket, no clock, no file; who drives it does the asking and the waiting.
 *
 *   DIRECTORY → ACCOUNT → ORDER → AUTHZ → CHALLENGE → AUTHZ … → READY … → FINALIZE → VALID … → CERT → done
 *              (not when kid                 (the TXT     (…: asked again until it is decided,
 *               is known)                  must answer)    5 minutes in all)
 *
 * In front of any of these stands "newNonce" when no nonce is at hand. An answer `badNonce` brings another one, and the question is asked
 * again, three times at most; so is one that ends in 5xx, unless the CA wants to be left alone for longer. Anything else that is wrong
 * ends the flow, with the CA's own words. */
#pragma once
#include "plugin/tls/jose.h"

enum fl_acme_do { FL_ACME_ASK, FL_ACME_DONE, FL_ACME_FAILED };

enum { FL_ACME_AUTHZ_MAX = 8, FL_ACME_BODY_MAX = 1 << 20 };     /* octets of an answer that are of any interest */

struct fl_acme_answer {
	int status;
	int retry_after_s;              /* -1: none */
	struct fl_str nonce, location;  /* header fields; n 0: none */
	struct fl_str body;
};

struct fl_acme_flow {
	/* given: borrowed */
	const struct fl_acme_key *account, *key;
	const char *directory, *email, *name;   /* email "": none; name: "a.example", "*.a.example" */
	char *kid;                      /* given (malloc'd, taken) or learnt: the account's URL; NULL: not known */
	/* to be asked: with FL_ACME_ASK */
	const char *url;
	char *post;                     /* NULL: a GET */
	unsigned wait_ms;               /* before that */
	bool show;                      /* txt, this one alone, must be answered from before the question that goes out now on; else none */
	char txt[FL_ACME_HASH];
	/* the result */
	char *chain;                    /* done: PEM, as it came; to be checked */
	struct fl_err err;              /* failed */
	bool account_gone;              /* the CA does not know the account (any more) */
	bool answered;                  /* the CA said something at all */
	int retry_after_s;              /* what it said to a failure; -1 */
	/* its own */
	int state;
	bool noncing;
	unsigned again, waited_ms, pause_ms, nauthz, at;
	char nonce[256];
	char *new_nonce, *new_account, *new_order, *order, *finalize, *certificate, *challenge, *authz[FL_ACME_AUTHZ_MAX], *csr;
};

/* f: given fields are set, the rest is zeroed. */
enum fl_acme_do fl_acme_flow_start(struct fl_acme_flow *f);
enum fl_acme_do fl_acme_flow_answer(struct fl_acme_flow *f, const struct fl_acme_answer *a);
void fl_acme_flow_finish(struct fl_acme_flow *f);       /* frees what it holds; a zeroed one is fine */

/* When to try again after so many failures in a row, ms. Who was never reached may be back soon: from 1 s on; who said no will say so
 * again: from a minute on, at last every 6 hours (certmagic's steps). What it told us (Retry-After) is waited for, a day at most. */
uint64_t fl_acme_retry_ms(unsigned failures, bool answered, int retry_after_s);
/* When a certificate is to be renewed: a third of its life is left (certmagic). Unix seconds. */
int64_t fl_acme_renew_at(int64_t from, int64_t until);

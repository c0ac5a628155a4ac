#include "plugin/tls/flow.h"
#include "base/mem.h"
#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>

enum state { DIRECTORY, ACCOUNT, ORDER, AUTHZ, CHALLENGE, READY, FINALIZE, VALID, CERT };
enum { AGAIN_MAX = 3, AGAIN_MS = 1000, AGAIN_MAX_S = 10, FIRST_PAUSE_MS = 250, PAUSE_MAX_MS = 10000, DECIDE_MS = 5 * 60 * 1000, URL_MAX = 2000 };

/* In the words of a person who reads the log. */
static const char *const what[] = {
	[DIRECTORY] = "the directory", [ACCOUNT] = "newAccount", [ORDER] = "newOrder", [AUTHZ] = "the authorization", [CHALLENGE] = "the challenge",
	[READY] = "the order", [FINALIZE] = "finalize", [VALID] = "the order", [CERT] = "the certificate",
};

static enum fl_acme_do fail(struct fl_acme_flow *f, const char *text)
{
	fl_err_set(&f->err, "%s: %s", f->noncing ? "newNonce" : what[f->state], text);
	f->url = NULL;
	return FL_ACME_FAILED;
}

/* ---- reading JSON of a stranger ---- */

static const char *string(const cJSON *o, const char *name)
{
	const cJSON *s = cJSON_GetObjectItemCaseSensitive(o, name);
	return cJSON_IsString(s) && s->valuestring ? s->valuestring : "";
}

/* It goes into the head of a request: nothing in it may end a line. */
static bool good_url(const char *s)
{
	size_t n = strlen(s);
	for (size_t i = 0; i < n; i++)
		if (s[i] <= ' ' || s[i] > '~')
			return false;
	return n < URL_MAX && (!strncmp(s, "https://", 8) || !strncmp(s, "http://", 7));
}

/* A URL of the object into *to; false: there is none, or it is none. */
static bool take_url(char **to, const char *url)
{
	if (!good_url(url))
		return false;
	free(*to);
	*to = fl_xstrndup(url, strlen(url));
	return true;
}

/* What a problem document (RFC 7807) says, as acmez puts it: "HTTP 429 urn:ietf:params:acme:error:rateLimited - too many". */
static void problem(const cJSON *p, int status, char *to, size_t cap)
{
	const cJSON *own = cJSON_GetObjectItemCaseSensitive(p, "status"), *sub = cJSON_GetObjectItemCaseSensitive(p, "subproblems");
	const char *type = string(p, "type"), *detail = string(p, "detail"), *more = string(cJSON_GetArrayItem(sub, 0), "detail");
	if (cJSON_IsNumber(own) && own->valuedouble >= 100 && own->valuedouble < 1000)
		status = (int)own->valuedouble;
	char http[32] = "";
	if (status)
		snprintf(http, sizeof http, "HTTP %d%s", status, *type ? " " : "");
	snprintf(to, cap, "%s%.100s%s%.400s%s%.160s%s", http, type, *detail ? " - " : "", detail, *more ? " (" : "", more, *more ? ")" : "");
	for (char *c = to; *c; c++)             /* in a log */
		if ((unsigned char)*c < ' ' || *c == 0x7f)
			*c = ' ';
}

static bool is_problem(const cJSON *p, const char *name)
{
	static const char prefix[] = "urn:ietf:params:acme:error:";
	const char *type = string(p, "type");
	return !strncmp(type, prefix, sizeof prefix - 1) && !strcmp(type + sizeof prefix - 1, name);
}

static enum fl_acme_do refused(struct fl_acme_flow *f, const cJSON *p, int status)
{
	char text[480];
	problem(p, status, text, sizeof text);
	return fail(f, text);
}

/* ---- asking ---- */

static char *printed(cJSON *o)
{
	char *text = cJSON_PrintUnformatted(o);
	fl_assert(text);
	cJSON_Delete(o);
	return text;
}

static char *payload(struct fl_acme_flow *f)
{
	cJSON *o = cJSON_CreateObject();
	if (f->state == ACCOUNT) {
		cJSON_AddTrueToObject(o, "termsOfServiceAgreed");
		if (*f->email) {
			char mail[600];
			snprintf(mail, sizeof mail, "mailto:%s", f->email);
			cJSON_AddItemToArray(cJSON_AddArrayToObject(o, "contact"), cJSON_CreateString(mail));
		}
	} else if (f->state == ORDER) {
		cJSON *id = cJSON_CreateObject();
		cJSON_AddStringToObject(id, "type", "dns");
		cJSON_AddStringToObject(id, "value", f->name);
		cJSON_AddItemToArray(cJSON_AddArrayToObject(o, "identifiers"), id);
	} else if (f->state == FINALIZE) {
		cJSON_AddStringToObject(o, "csr", f->csr);
	}
	return printed(o);
}

static const char *url_of(const struct fl_acme_flow *f)
{
	switch (f->state) {
	case DIRECTORY: return f->directory;
	case ACCOUNT: return f->new_account;
	case ORDER: return f->new_order;
	case AUTHZ: return f->authz[f->at];
	case CHALLENGE: return f->challenge;
	case FINALIZE: return f->finalize;
	case CERT: return f->certificate;
	default: return f->order;
	}
}

/* The question of this state; or first one for a nonce. */
static enum fl_acme_do ask(struct fl_acme_flow *f, unsigned wait_ms)
{
	free(f->post);
	f->post = NULL;
	f->wait_ms = wait_ms;
	f->noncing = f->state != DIRECTORY && !*f->nonce;
	f->url = f->noncing ? f->new_nonce : url_of(f);
	if (f->noncing || f->state == DIRECTORY)
		return FL_ACME_ASK;
	bool get = f->state == AUTHZ || f->state == READY || f->state == VALID || f->state == CERT;
	char *text = get ? NULL : payload(f);
	f->post = fl_acme_jws(f->account, f->state == ACCOUNT ? NULL : f->kid, f->nonce, f->url, get ? "" : text);
	cJSON_free(text);
	*f->nonce = 0;
	return FL_ACME_ASK;
}

static enum fl_acme_do go(struct fl_acme_flow *f, enum state s)
{
	f->state = (int)s;
	f->again = 0;
	f->pause_ms = FIRST_PAUSE_MS;
	return ask(f, 0);
}

/* Not decided yet: the same question again. */
static enum fl_acme_do later(struct fl_acme_flow *f, enum state s, int retry_after_s)
{
	unsigned ms = f->pause_ms;
	if (f->state != (int)s) {
		f->state = (int)s;
		ms = FIRST_PAUSE_MS;
	}
	f->pause_ms = 2 * ms < PAUSE_MAX_MS ? 2 * ms : PAUSE_MAX_MS;
	if (retry_after_s > 0)
		ms = retry_after_s < DECIDE_MS / 1000 ? (unsigned)retry_after_s * 1000 : DECIDE_MS;
	f->waited_ms += ms;
	if (f->waited_ms > DECIDE_MS)
		return fail(f, "the CA has not decided within 5 minutes");
	f->again = 0;
	return ask(f, ms);
}

enum fl_acme_do fl_acme_flow_start(struct fl_acme_flow *f)
{
	f->retry_after_s = -1;
	f->csr = fl_acme_csr(f->key, f->name);
	f->state = FINALIZE;
	return f->csr ? go(f, DIRECTORY) : fail(f, "no request for a certificate can be made for this name");
}

void fl_acme_flow_finish(struct fl_acme_flow *f)
{
	char *all[] = { f->kid, f->post, f->chain, f->new_nonce, f->new_account, f->new_order, f->order, f->finalize, f->certificate, f->challenge,
			f->csr };
	for (size_t i = 0; i < FL_COUNT(all); i++)
		free(all[i]);
	for (unsigned i = 0; i < FL_ACME_AUTHZ_MAX; i++)
		free(f->authz[i]);
	*f = (struct fl_acme_flow){ 0 };
}

/* ---- answers, state by state ---- */

static enum fl_acme_do directory(struct fl_acme_flow *f, const cJSON *o)
{
	if (!take_url(&f->new_nonce, string(o, "newNonce")) || !take_url(&f->new_account, string(o, "newAccount")) ||
	    !take_url(&f->new_order, string(o, "newOrder")))
		return fail(f, "newNonce, newAccount or newOrder is missing: is this an ACME directory?");
	return go(f, f->kid ? ORDER : ACCOUNT);
}

static enum fl_acme_do account(struct fl_acme_flow *f, const cJSON *o, const char *location)
{
	if (strcmp(string(o, "status"), "valid"))
		return fail(f, "the account is not valid");
	if (!take_url(&f->kid, location))
		return fail(f, "no Location, which would name the account");
	return go(f, ORDER);
}

static enum fl_acme_do order(struct fl_acme_flow *f, const cJSON *o, const char *location)
{
	const cJSON *list = cJSON_GetObjectItemCaseSensitive(o, "authorizations"), *one;
	if (!take_url(&f->order, location))
		return fail(f, "no Location, which would name the order");
	if (!take_url(&f->finalize, string(o, "finalize")))
		return fail(f, "the order cannot be finalized: it says not where");
	cJSON_ArrayForEach(one, list) {
		if (f->nauthz == FL_ACME_AUTHZ_MAX || !cJSON_IsString(one) || !take_url(&f->authz[f->nauthz], one->valuestring))
			return fail(f, "the order's authorizations are of no use");
		f->nauthz++;
	}
	return go(f, f->nauthz ? AUTHZ : READY);
}

static const cJSON *dns01(const cJSON *authz)
{
	const cJSON *one;
	cJSON_ArrayForEach(one, cJSON_GetObjectItemCaseSensitive(authz, "challenges"))
		if (!strcmp(string(one, "type"), "dns-01"))
			return one;
	return NULL;
}

/* base64url (RFC 8555 §8), or it would not be what the CA will look for. */
static bool good_token(const char *s)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
	return *s && strspn(s, digits) == strlen(s) && strlen(s) < 1000;
}

static enum fl_acme_do authz(struct fl_acme_flow *f, const cJSON *o, int retry_after_s)
{
	const char *status = string(o, "status");
	const cJSON *c = dns01(o);
	const char *cs = string(c, "status"), *token = string(c, "token");
	if (!strcmp(status, "valid")) {
		if (++f->at == f->nauthz)
			return go(f, READY);
		f->show = false;
		return go(f, AUTHZ);
	}
	const cJSON *error = cJSON_GetObjectItemCaseSensitive(c, "error");
	if (cJSON_IsObject(error) && (!strcmp(cs, "invalid") || !strcmp(status, "invalid")))
		return refused(f, error, 0);
	if (strcmp(status, "pending"))
		return fail(f, *status ? "the CA has given it up" : "no status");
	if (!c)
		return fail(f, "the CA offers no dns-01 challenge");
	if (!take_url(&f->challenge, string(c, "url")) || !good_token(token))
		return fail(f, "its dns-01 challenge is of no use");
	fl_acme_dns01(f->account, token, f->txt);
	bool shown = f->show;
	f->show = true;
	return !strcmp(cs, "pending") && !shown ? go(f, CHALLENGE) : later(f, AUTHZ, retry_after_s);
}

static enum fl_acme_do challenge(struct fl_acme_flow *f, const cJSON *o, int retry_after_s)
{
	const cJSON *error = cJSON_GetObjectItemCaseSensitive(o, "error");
	if (!strcmp(string(o, "status"), "invalid"))
		return refused(f, error, 0);
	return later(f, AUTHZ, retry_after_s);
}

static enum fl_acme_do decided(struct fl_acme_flow *f, const cJSON *o, int retry_after_s)
{
	const char *status = string(o, "status");
	if (!strcmp(status, "valid")) {
		if (!take_url(&f->certificate, string(o, "certificate")))
			return fail(f, "the order is valid and says not where the certificate is");
		return go(f, CERT);
	}
	if (!strcmp(status, "processing"))
		return later(f, VALID, retry_after_s);
	if (!strcmp(status, "invalid"))
		return refused(f, cJSON_GetObjectItemCaseSensitive(o, "error"), 0);
	if (!strcmp(status, "ready") && f->state == READY)
		return go(f, FINALIZE);
	if (!strcmp(status, "pending") || !strcmp(status, "ready"))
		return later(f, f->state == FINALIZE ? VALID : f->state, retry_after_s);
	return fail(f, "the order has no status that means anything");
}

static enum fl_acme_do object(struct fl_acme_flow *f, const cJSON *o, const struct fl_acme_answer *a)
{
	char location[URL_MAX] = "";
	if (a->location.n < sizeof location)
		*fl_put_bytes(location, a->location.p, a->location.n) = 0;
	switch (f->state) {
	case DIRECTORY: return directory(f, o);
	case ACCOUNT: return account(f, o, location);
	case ORDER: return order(f, o, location);
	case AUTHZ: return authz(f, o, a->retry_after_s);
	case CHALLENGE: return challenge(f, o, a->retry_after_s);
	default: return decided(f, o, a->retry_after_s);
	}
}

/* ---- answers ---- */

static void keep_nonce(struct fl_acme_flow *f, struct fl_str n)
{
	for (size_t i = 0; i < n.n; i++) {
		uint8_t c = fl_lower((uint8_t)n.p[i]);
		if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_'))
			return;
	}
	if (n.n && n.n < sizeof f->nonce)
		*fl_put_bytes(f->nonce, n.p, n.n) = 0;
}

/* status is no success. */
static enum fl_acme_do unhappy(struct fl_acme_flow *f, const cJSON *p, const struct fl_acme_answer *a)
{
	bool nonce = is_problem(p, "badNonce"), sick = a->status >= 500 && a->retry_after_s <= AGAIN_MAX_S;
	if ((nonce || sick) && f->again++ < AGAIN_MAX - 1u + nonce)
		return ask(f, nonce ? 0 : a->retry_after_s > 0 ? (unsigned)a->retry_after_s * 1000 : AGAIN_MS);
	f->account_gone = is_problem(p, "accountDoesNotExist");
	f->retry_after_s = a->retry_after_s;
	return refused(f, p, a->status);
}

enum fl_acme_do fl_acme_flow_answer(struct fl_acme_flow *f, const struct fl_acme_answer *a)
{
	f->answered = true;
	keep_nonce(f, a->nonce);
	bool nul = a->body.n && memchr(a->body.p, 0, a->body.n);
	cJSON *o = a->body.n && !nul && !(f->state == CERT && a->status / 100 == 2) ? cJSON_ParseWithLength(a->body.p, a->body.n) : NULL;
	enum fl_acme_do d;
	if (a->status / 100 != 2) {
		d = unhappy(f, o, a);
	} else if (f->noncing) {
		d = *f->nonce ? ask(f, 0) : fail(f, "no Replay-Nonce");
	} else if (f->state == CERT) {
		f->chain = fl_xstrndup(a->body.p, nul ? 0 : a->body.n);
		f->url = NULL;
		d = FL_ACME_DONE;
	} else {
		d = cJSON_IsObject(o) ? object(f, o, a) : fail(f, "the answer is no JSON object");
	}
	cJSON_Delete(o);
	return d;
}

/* ---- when ---- */

uint64_t fl_acme_retry_ms(unsigned failures, bool answered, int retry_after_s)
{
	enum { QUICK = 6 };             /* 1, 2, 4 … 32 s */
	static const uint16_t minutes[] = { 1, 2, 2, 5, 10, 10, 10, 20, 20, 20, 20, 30, 30, 30, 30, 30, 30, 60, 60, 60, 120, 120, 180, 180, 360 };
	unsigned n = failures ? failures - 1 : 0;
	if (!answered && n < QUICK)
		return 1000ull << n;
	n -= answered ? 0 : QUICK;
	uint64_t ms = minutes[n < FL_COUNT(minutes) ? n : FL_COUNT(minutes) - 1] * 60000ull;
	uint64_t told = retry_after_s > 0 ? (uint64_t)retry_after_s * 1000 : 0, day = 24 * 3600 * 1000ull;
	told = told < day ? told : day;
	return told > ms ? told : ms;
}

int64_t fl_acme_renew_at(int64_t from, int64_t until) { return until > from ? until - (until - from) / 3 : until; }

/* Hosts that show what they are given, a certificate for each name (ACME). GnuTLS's own choice among several knows no wildcards: it is made
 * here. */
#include "net/tls_server_int.h"
#include "base/mem.h"
#include <errno.h>
#include <stdlib.h>
#include <strings.h>

static void name_finish(struct fl_tls_named *n)
{
	for (unsigned i = 0; i < n->nchain; i++)
		gnutls_pcert_deinit(&n->chain[i]);
	if (n->key)
		gnutls_privkey_deinit(n->key);
	free(n->chain);
	free(n->text);
}

void fl_tls_names_finish(struct fl_tls_server *s)
{
	for (unsigned i = 0; i < s->nname; i++)
		name_finish(&s->name[i]);
	free(s->name);
}

struct fl_tls_host *fl_tls_host_create_given(const char *const *names, unsigned n, const struct fl_tls_pair *pairs, struct fl_err *e)
{
	struct fl_tls_host *h = fl_xalloc(sizeof *h);
	h->path.keylog = -1;
	h->name = fl_xalloc(n * sizeof *h->name);
	h->nname = n;
	for (unsigned i = 0; i < n; i++)
		h->name[i] = fl_xstrndup(names[i], strlen(names[i]));
	if (!fl_tls_host_give(h, pairs, e))
		return h;
	fl_tls_host_destroy(h);
	return NULL;
}

/* "*.a" is b.a, and nothing below that. */
static bool named(const char *name, const char *asked)
{
	if (!strncmp(name, "*.", 2)) {
		asked = strchr(asked, '.');
		name++;
	}
	return asked && !strcasecmp(name, asked);
}

/* Whom the client asks for: one of ours, the name itself before a wildcard; the first when it does not say. */
static int name_asked(gnutls_session_t session, const struct fl_tls_named **out)
{
	const struct fl_tls_server *s = gnutls_db_get_ptr(session);
	char asked[256];
	size_t n = sizeof asked;
	unsigned type = 0;
	int ret = gnutls_server_name_get(session, asked, &n, &type, 0);
	*out = ret == GNUTLS_E_REQUESTED_DATA_NOT_AVAILABLE ? &s->name[0] : NULL;
	for (unsigned i = 0; ret >= 0 && type == GNUTLS_NAME_DNS && i < s->nname; i++)
		if (!strcasecmp(s->name[i].text, asked) || (!*out && named(s->name[i].text, asked)))
			*out = &s->name[i];
	return !*out ? GNUTLS_E_UNRECOGNIZED_NAME : !(*out)->nchain ? GNUTLS_E_INTERNAL_ERROR : 0;
}

/* Is that to be had? (plugin/tls/acme.go getCertificate) */
int fl_tls_name_known(gnutls_session_t session)
{
	const struct fl_tls_named *n;
	return name_asked(session, &n);
}

/* GnuTLS's own choice knows no wildcards. */
static int name_show(gnutls_session_t session, const struct gnutls_cert_retr_st *info, gnutls_pcert_st **chain, unsigned *nchain,
		     gnutls_ocsp_data_st **ocsp, unsigned *nocsp, gnutls_privkey_t *key, unsigned *flags)
{
	const struct fl_tls_named *n;
	(void)info, (void)ocsp, (void)flags;
	if (name_asked(session, &n))
		return -1;
	*chain = n->chain;
	*nchain = n->nchain;
	*nocsp = 0;
	*key = n->key;
	return 0;
}

static int name_load(struct fl_tls_named *n, const struct fl_tls_pair *p, struct fl_err *e)
{
	gnutls_datum_t cert = { (unsigned char *)(uintptr_t)p->cert.p, (unsigned)p->cert.n }, key = { (unsigned char *)(uintptr_t)p->key.p, (unsigned)p->key.n };
	gnutls_x509_crt_t *crt = NULL;
	unsigned many = 0, room;
	int ret = gnutls_x509_crt_list_import2(&crt, &many, &cert, GNUTLS_X509_FMT_PEM, 0);
	n->chain = fl_xalloc((many + 1) * sizeof *n->chain);
	room = many;
	if (ret >= 0)
		ret = gnutls_pcert_import_x509_list(n->chain, crt, &room, 0);
	n->nchain = ret >= 0 ? room : 0;
	for (unsigned i = 0; i < many; i++)
		gnutls_x509_crt_deinit(crt[i]);
	gnutls_free(crt);
	if (ret >= 0 && (ret = gnutls_privkey_init(&n->key)) >= 0)
		ret = gnutls_privkey_import_x509_raw(n->key, &key, GNUTLS_X509_FMT_PEM, NULL, 0);
	return ret < 0 ? fl_err_set(e, "%s: %s", n->text, gnutls_strerror(ret)) : 0;
}

int fl_tls_host_give(struct fl_tls_host *h, const struct fl_tls_pair *pairs, struct fl_err *e)
{
	struct fl_tls_server *s = fl_tls_server_empty(FL_TLS_NOCERT, -1, e);
	if (!s)
		return -EINVAL;
	s->name = fl_xalloc(h->nname * sizeof *s->name);
	s->nname = h->nname;
	for (unsigned i = 0; i < h->nname; i++) {
		s->name[i].text = fl_xstrndup(h->name[i], strlen(h->name[i]));
		if (pairs[i].cert.n && name_load(&s->name[i], &pairs[i], e)) {
			fl_tls_server_put(s);
			return -EINVAL;
		}
	}
	gnutls_certificate_set_retrieve_function3(s->cred, name_show);
	fl_tls_host_serve(h, s);
	return 0;
}

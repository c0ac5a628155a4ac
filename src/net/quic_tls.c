/* TLS 1.3 for QUIC: GnuTLS sessions that ngtcp2 feeds. */
#include "net/quic_int.h"
#include "net/tls.h"

#define PRIORITY "NORMAL:-VERS-ALL:+VERS-TLS1.3:-CIPHER-ALL:+AES-128-GCM:+AES-256-GCM:+CHACHA20-POLY1305:%DISABLE_TLS13_COMPAT_MODE"

int fl_quic_tls_open(struct fl_quic_conn *c, bool server, int (*prepare)(void *arg, gnutls_session_t s), void *arg)
{
	const gnutls_datum_t alpn = { (unsigned char *)(uintptr_t)c->proto->alpn, (unsigned)strlen(c->proto->alpn) };
	int ret = gnutls_init(&c->tls, server ? GNUTLS_SERVER : GNUTLS_CLIENT);
	if (ret < 0) {
		c->tls = NULL;
		return ret;
	}
	if ((ret = gnutls_priority_set_direct(c->tls, PRIORITY, NULL)) < 0 ||
	    (ret = gnutls_alpn_set_protocols(c->tls, &alpn, 1, GNUTLS_ALPN_MANDATORY)) < 0 || (ret = prepare(arg, c->tls)) < 0)
		return ret;
	gnutls_session_set_ptr(c->tls, &c->ref);
	if (server ? ngtcp2_crypto_gnutls_configure_server_session(c->tls) : ngtcp2_crypto_gnutls_configure_client_session(c->tls))
		return GNUTLS_E_INTERNAL_ERROR;
	ngtcp2_conn_set_tls_native_handle(c->ng, c->tls);
	return 0;
}

void fl_quic_tls_refusal(struct fl_quic_conn *c, struct fl_err *e)
{
	unsigned status = gnutls_session_get_verify_cert_status(c->tls);
	if (status == (unsigned)-1 || !status)
		fl_err_set(e, "tls: %s", fl_quic_alert_text(ngtcp2_conn_get_tls_alert(c->ng)));
	else
		fl_tls_refused(c->tls, c->name ? c->name : "", e);
}

const char *fl_quic_alert_text(unsigned alert)
{
	static const struct { unsigned alert; const char *text; } known[] = {
		{ 40, "handshake failure" }, { 42, "bad certificate" }, { 43, "unsupported certificate" }, { 44, "revoked certificate" },
		{ 45, "expired certificate" }, { 46, "unknown certificate" }, { 48, "unknown certificate authority" }, { 49, "access denied" },
		{ 50, "error decoding message" }, { 51, "error decrypting message" }, { 70, "protocol version not supported" },
		{ 71, "insufficient security level" }, { 80, "internal error" }, { 109, "missing extension" }, { 110, "unsupported extension" },
		{ 112, "unrecognized name" }, { 116, "certificate required" }, { 120, "no application protocol" },
	};
	for (size_t i = 0; i < FL_COUNT(known); i++)
		if (known[i].alert == alert)
			return known[i].text;
	const char *text = gnutls_alert_get_name((gnutls_alert_description_t)alert);
	return text ? text : "unknown alert";
}

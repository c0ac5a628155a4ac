/* quic_compat: names that ngtcp2 changed between the version written for (0.12, Debian 12) and 1.x (Debian 13). Private to net/. */
#pragma once
#include <ngtcp2/ngtcp2.h>
#include <ngtcp2/ngtcp2_crypto.h>
#include <ngtcp2/ngtcp2_crypto_gnutls.h>

#if NGTCP2_VERSION_NUM >= 0x010000
#define FL_QUIC_VERSIONS NGTCP2_PROTO_VER_V1, NGTCP2_PROTO_VER_V2
typedef ngtcp2_ccerr fl_quic_ccerr;
#define fl_quic_ccerr_app ngtcp2_ccerr_set_application_error
#define fl_quic_ccerr_transport ngtcp2_ccerr_set_transport_error
#define fl_quic_ccerr_liberr ngtcp2_ccerr_set_liberr
#define fl_quic_ccerr_alert ngtcp2_ccerr_set_tls_alert
#define FL_QUIC_IS_APP(e) ((e)->type == NGTCP2_CCERR_TYPE_APPLICATION)
#define FL_QUIC_IS_TRANSPORT(e) ((e)->type == NGTCP2_CCERR_TYPE_TRANSPORT)
static inline void fl_quic_peer_error(ngtcp2_conn *c, fl_quic_ccerr *e) { *e = *ngtcp2_conn_get_ccerr(c); }
static inline void fl_quic_set_odcid(ngtcp2_transport_params *p, const ngtcp2_cid *id)
{
	p->original_dcid = *id;
	p->original_dcid_present = 1;
}
static inline const uint8_t *fl_quic_token(const ngtcp2_pkt_hd *hd, size_t *n)
{
	*n = hd->tokenlen;
	return hd->token;
}
static inline void fl_quic_set_token(ngtcp2_settings *s, const ngtcp2_pkt_hd *hd)
{
	s->token = hd->token;
	s->tokenlen = hd->tokenlen;
	s->token_type = NGTCP2_TOKEN_TYPE_RETRY;
}
static inline void fl_quic_no_window_growth(ngtcp2_settings *s) { s->max_window = s->max_stream_window = 0; }
static inline int fl_quic_shutdown(ngtcp2_conn *c, int64_t id, uint64_t code) { return ngtcp2_conn_shutdown_stream(c, 0, id, code); }
static inline int fl_quic_shutdown_read(ngtcp2_conn *c, int64_t id, uint64_t code) { return ngtcp2_conn_shutdown_stream_read(c, 0, id, code); }
static inline int fl_quic_shutdown_write(ngtcp2_conn *c, int64_t id, uint64_t code)
{
	return ngtcp2_conn_shutdown_stream_write(c, 0, id, code);
}
#else
#define FL_QUIC_VERSIONS NGTCP2_PROTO_VER_V1
typedef ngtcp2_connection_close_error fl_quic_ccerr;
#define fl_quic_ccerr_app ngtcp2_connection_close_error_set_application_error
#define fl_quic_ccerr_transport ngtcp2_connection_close_error_set_transport_error
#define fl_quic_ccerr_liberr ngtcp2_connection_close_error_set_transport_error_liberr
#define fl_quic_ccerr_alert ngtcp2_connection_close_error_set_transport_error_tls_alert
#define FL_QUIC_IS_APP(e) ((e)->type == NGTCP2_CONNECTION_CLOSE_ERROR_CODE_TYPE_APPLICATION)
#define FL_QUIC_IS_TRANSPORT(e) ((e)->type == NGTCP2_CONNECTION_CLOSE_ERROR_CODE_TYPE_TRANSPORT)
static inline void fl_quic_peer_error(ngtcp2_conn *c, fl_quic_ccerr *e) { ngtcp2_conn_get_connection_close_error(c, e); }
static inline void fl_quic_set_odcid(ngtcp2_transport_params *p, const ngtcp2_cid *id) { p->original_dcid = *id; }
static inline const uint8_t *fl_quic_token(const ngtcp2_pkt_hd *hd, size_t *n)
{
	*n = hd->token.len;
	return hd->token.base;
}
static inline void fl_quic_set_token(ngtcp2_settings *s, const ngtcp2_pkt_hd *hd) { s->token = hd->token; }
static inline void fl_quic_no_window_growth(ngtcp2_settings *s) { s->max_window = s->max_stream_window = 0; }
static inline int fl_quic_shutdown(ngtcp2_conn *c, int64_t id, uint64_t code) { return ngtcp2_conn_shutdown_stream(c, id, code); }
static inline int fl_quic_shutdown_read(ngtcp2_conn *c, int64_t id, uint64_t code) { return ngtcp2_conn_shutdown_stream_read(c, id, code); }
static inline int fl_quic_shutdown_write(ngtcp2_conn *c, int64_t id, uint64_t code)
{
	return ngtcp2_conn_shutdown_stream_write(c, id, code);
}
#endif

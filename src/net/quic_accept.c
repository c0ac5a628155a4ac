/* Datagrams to a server: whose are they, and what is to be said to those of nobody. */
#include "net/quic_server_int.h"
#include "base/rng.h"
#include <errno.h>
#include <pthread.h>

enum { INITIAL_MIN = 1200, RESETS = 1000, RETRY_S = 10, SHORT_MIN = 22, RESET_MAX = 43 };
/* What must be left for one more: its handshake and some questions; HTTP/3 has its own tables besides. */
enum { CONN_MEMORY = 128 * 1024, HTTP3_MEMORY = 96 * 1024 };

/* One secret a process: any shard may check what another gave out. */
static uint8_t secret[32];
static pthread_once_t once = PTHREAD_ONCE_INIT;
static void make_secret(void) { fl_random_bytes(secret, sizeof secret); }

static const uint8_t *the_secret(void)
{
	pthread_once(&once, make_secret);
	return secret;
}

int fl_quic_reset_token(uint8_t *token, const ngtcp2_cid *cid)
{
	return ngtcp2_crypto_generate_stateless_reset_token(token, the_secret(), sizeof secret, cid);
}

/* ---- addresses ---- */

static void path_of(ngtcp2_path_storage *ps, const struct fl_udp_way *way)
{
	struct sockaddr_in v4 = { .sin_family = AF_INET };
	struct sockaddr_in6 v6 = { .sin6_family = AF_INET6 };
	bool four = way->info ? way->info == 4 : way->peer.sa.sa_family == AF_INET;
	if (way->info == 4)
		v4.sin_addr = way->local.v4;
	else if (way->info == 6)
		v6.sin6_addr = way->local.v6;
	ngtcp2_path_storage_init(ps, four ? (struct sockaddr *)&v4 : (struct sockaddr *)&v6, four ? sizeof v4 : sizeof v6, &way->peer.sa,
				 way->peer.sa.sa_family == AF_INET ? sizeof way->peer.v4 : sizeof way->peer.v6, NULL);
}

void fl_quic_way_back(struct fl_udp_way *way, const ngtcp2_path *path, uint32_t ifindex)
{
	const struct sockaddr_in *v4 = (const struct sockaddr_in *)path->local.addr;
	const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)path->local.addr;
	*way = (struct fl_udp_way){ .ifindex = ifindex };
	memcpy(&way->peer, path->remote.addr, path->remote.addrlen < sizeof way->peer ? path->remote.addrlen : sizeof way->peer);
	if (v4->sin_family == AF_INET && v4->sin_addr.s_addr) {
		way->info = 4;
		way->local.v4 = v4->sin_addr;
	} else if (v4->sin_family == AF_INET6 && !IN6_IS_ADDR_UNSPECIFIED(&v6->sin6_addr)) {
		way->info = 6;
		way->local.v6 = v6->sin6_addr;
	}
}

uint16_t fl_quic_client_of(const struct fl_udp_way *way)
{
	const uint8_t *b = way->peer.v6.sin6_addr.s6_addr;
	uint64_t h;
	if (way->peer.sa.sa_family == AF_INET)
		h = fl_hash(&way->peer.v4.sin_addr, 4);
	else if (IN6_IS_ADDR_V4MAPPED(&way->peer.v6.sin6_addr))
		h = fl_hash(b + 12, 4);
	else
		h = fl_hash(b, 8);
	return (uint16_t)(h % FL_QUIC_CLIENTS);
}

/* ---- connection IDs → connections: a chained table, hashed with a key, for clients choose their first ones ---- */

static struct fl_quic_id **bucket_of(struct fl_quic *q, const uint8_t *id, size_t n) { return &q->bucket[fl_hash(id, n) % FL_QUIC_BUCKETS]; }

static struct fl_quic_id *find(struct fl_quic *q, const uint8_t *id, size_t n)
{
	struct fl_quic_id *e = *bucket_of(q, id, n);
	while (e && (e->cid.datalen != n || memcmp(e->cid.data, id, n)))
		e = e->next;
	return e;
}

int fl_quic_cid_add(struct fl_quic *q, struct fl_quic_peer *p, const ngtcp2_cid *cid)
{
	struct fl_quic_id *e = p->ids, *end = p->ids + FL_QUIC_PEER_CIDS;
	while (e < end && e->peer)
		e++;
	if (e == end || find(q, cid->data, cid->datalen))
		return -ENOSPC;
	struct fl_quic_id **b = bucket_of(q, cid->data, cid->datalen);
	*e = (struct fl_quic_id){ .next = *b, .peer = p, .cid = *cid };
	*b = e;
	return 0;
}

static void drop(struct fl_quic *q, struct fl_quic_id *e)
{
	struct fl_quic_id **b = bucket_of(q, e->cid.data, e->cid.datalen);
	while (*b != e)
		b = &(*b)->next;
	*b = e->next;
	e->peer = NULL;
}

void fl_quic_cid_del(struct fl_quic *q, struct fl_quic_peer *p, const ngtcp2_cid *cid)
{
	struct fl_quic_id *e = find(q, cid->data, cid->datalen);
	if (e && e->peer == p)
		drop(q, e);
}

void fl_quic_cids_drop(struct fl_quic *q, struct fl_quic_peer *p)
{
	for (unsigned i = 0; i < FL_QUIC_PEER_CIDS; i++)
		if (p->ids[i].peer)
			drop(q, &p->ids[i]);
}

/* ---- without a connection ---- */

static void reply(struct fl_quic_listener *li, const struct fl_udp_way *way, ngtcp2_ssize n)
{
	if (n > 0)
		fl_udp_queue(li->quic->udp, li->fd, way, (size_t)n);
}

static void negotiate(struct fl_quic_listener *li, const struct fl_udp_in *in, const ngtcp2_version_cid *vc)
{
	static const uint32_t versions[] = { FL_QUIC_VERSIONS };
	uint8_t random, *to = fl_udp_room(li->quic->udp, FL_QUIC_DATAGRAM);
	gnutls_rnd(GNUTLS_RND_NONCE, &random, 1);
	reply(li, &in->way, ngtcp2_pkt_write_version_negotiation(to, FL_QUIC_DATAGRAM, random, vc->scid, vc->scidlen, vc->dcid, vc->dcidlen,
								versions, FL_COUNT(versions)));
	fl_quic_count(&li->quic->stats.negotiated, 1);
}

/* Shorter than what it answers, so that two ends without memory do not go on for ever (RFC 9000 §10.3.3). */
static void tell_unknown(struct fl_quic_listener *li, const struct fl_udp_in *in, const ngtcp2_version_cid *vc)
{
	struct fl_quic *q = li->quic;
	uint8_t token[NGTCP2_STATELESS_RESET_TOKENLEN], noise[RESET_MAX], *to;
	size_t len = in->n - 1 < RESET_MAX ? in->n - 1 : RESET_MAX;
	uint64_t now = fl_loop_now(q->loop);
	ngtcp2_cid cid;
	if (in->n < SHORT_MIN)
		return;
	if (now - q->resets_ns >= FL_SEC || !q->resets_ns) {
		q->resets_ns = now;
		q->resets_left = RESETS;
	}
	if (!q->resets_left)
		return;
	q->resets_left--;
	ngtcp2_cid_init(&cid, vc->dcid, vc->dcidlen);
	if (fl_quic_reset_token(token, &cid))
		return;
	gnutls_rnd(GNUTLS_RND_NONCE, noise, sizeof noise);
	to = fl_udp_room(q->udp, FL_QUIC_DATAGRAM);
	reply(li, &in->way, ngtcp2_pkt_write_stateless_reset(to, len, token, noise, len - sizeof token));
	fl_quic_count(&q->stats.resets, 1);
}

static void ask_again(struct fl_quic_listener *li, const struct fl_udp_in *in, const ngtcp2_pkt_hd *hd, const ngtcp2_path *path)
{
	uint8_t token[NGTCP2_CRYPTO_MAX_RETRY_TOKENLEN], *to = fl_udp_room(li->quic->udp, FL_QUIC_DATAGRAM);
	ngtcp2_cid scid = { .datalen = FL_QUIC_CID };
	gnutls_rnd(GNUTLS_RND_NONCE, scid.data, scid.datalen);
	ngtcp2_ssize n = ngtcp2_crypto_generate_retry_token(token, the_secret(), sizeof secret, hd->version, path->remote.addr,
							    path->remote.addrlen, &scid, &hd->dcid, fl_loop_now(li->quic->loop));
	if (n < 0)
		return;
	reply(li, &in->way, ngtcp2_crypto_write_retry(to, FL_QUIC_DATAGRAM, hd->version, &hd->scid, &scid, &hd->dcid, token, (size_t)n));
	fl_quic_count(&li->quic->stats.retries, 1);
}

static void turn_away(struct fl_quic_listener *li, const struct fl_udp_in *in, const ngtcp2_pkt_hd *hd, uint64_t code, const char *why)
{
	uint8_t *to = fl_udp_room(li->quic->udp, FL_QUIC_DATAGRAM);
	reply(li, &in->way, ngtcp2_crypto_write_connection_close(to, FL_QUIC_DATAGRAM, hd->version, &hd->scid, &hd->dcid, code,
								(const uint8_t *)why, strlen(why)));
}

/* Is there room for one more, of this client? */
static bool admitted(struct fl_quic_listener *li, const struct fl_udp_in *in, const ngtcp2_pkt_hd *hd)
{
	struct fl_quic *q = li->quic;
	bool full = q->conns >= FL_QUIC_CONNS || (li->conf.max_conns && __atomic_load_n(li->total, __ATOMIC_RELAXED) >= li->conf.max_conns);
	unsigned client = fl_quic_client_of(&in->way);
	size_t memory = CONN_MEMORY + (li->web ? HTTP3_MEMORY : 0);
	full = full || !fl_quic_room(&q->budget, memory);
	bool crowd = q->clients[client].conns >= FL_QUIC_CLIENT || !fl_quic_room(&q->clients[client].mem, memory);
	if (!full && !crowd)
		return true;
	fl_quic_count(full ? &q->stats.refused : &q->stats.crowded, 1);
	turn_away(li, in, hd, NGTCP2_CONNECTION_REFUSED, "too many connections");
	return false;
}

/* Who serves li's address now: another one, when li is closed. NULL: nobody. */
static struct fl_quic_listener *heir(struct fl_quic_listener *li)
{
	struct fl_quic_listener *o = li->closed ? li->quic->listeners : li;
	while (o && (o->closed || o->total != li->total))
		o = o->next;
	return o;
}

static void newcomer(struct fl_quic_listener *old, const struct fl_udp_in *in, const ngtcp2_path *path)
{
	struct fl_quic_listener *li = heir(old);
	struct fl_quic *q = old->quic;
	ngtcp2_pkt_hd hd;
	ngtcp2_cid odcid;
	size_t ntoken;
	if (in->n < INITIAL_MIN || ngtcp2_accept(&hd, in->bytes, in->n) || !li) {
		fl_quic_count(&q->stats.garbage, 1);
		return;
	}
	const uint8_t *token = fl_quic_token(&hd, &ntoken);
	bool proved = ntoken && token[0] == NGTCP2_CRYPTO_TOKEN_MAGIC_RETRY;
	if (proved && ngtcp2_crypto_verify_retry_token(&odcid, token, ntoken, the_secret(), sizeof secret, hd.version, path->remote.addr,
						       path->remote.addrlen, &hd.dcid, RETRY_S * FL_SEC, fl_loop_now(q->loop))) {
		fl_quic_count(&q->stats.bad_token, 1);
		turn_away(li, in, &hd, NGTCP2_INVALID_TOKEN, "");
		return;
	}
	if (!admitted(li, in, &hd))
		return;
	if (!proved && q->half >= FL_QUIC_RETRY_AT) {
		ask_again(li, in, &hd, path);
		return;
	}
	if (q->half >= FL_QUIC_HALF) {
		fl_quic_count(&q->stats.flooded, 1);
		return;
	}
	struct fl_quic_peer *p = fl_quic_accept(li, &in->way, &hd, proved ? &odcid : NULL, path);
	if (p)
		fl_quic_feed(p, path, in->bytes, in->n);
}

void fl_quic_datagram(struct fl_quic_listener *li, const struct fl_udp_in *in)
{
	struct fl_quic *q = li->quic;
	ngtcp2_version_cid vc;
	ngtcp2_path_storage ps;
	int ret = in->cut || !in->n ? NGTCP2_ERR_INVALID_ARGUMENT : ngtcp2_pkt_decode_version_cid(&vc, in->bytes, in->n, FL_QUIC_CID);
	bool other = ret == NGTCP2_ERR_VERSION_NEGOTIATION;
	if ((ret && !other) || (other && in->n < INITIAL_MIN)) {
		fl_quic_count(&q->stats.garbage, 1);
		return;
	}
	if (other) {
		negotiate(li, in, &vc);
		return;
	}
	struct fl_quic_id *e = find(q, vc.dcid, vc.dcidlen);
	path_of(&ps, &in->way);
	if (e && e->peer->li->total == li->total)
		fl_quic_feed(e->peer, &ps.path, in->bytes, in->n);
	else if (in->bytes[0] & 0x80)
		newcomer(li, in, &ps.path);
	else
		tell_unknown(li, in, &vc);
}

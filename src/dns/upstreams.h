/* upstreams: what the plugins that ask other servers (forward, grpc, loop, tls) share, most of it at set-up: their TO arguments, resolv.conf files, the order in
 * which servers are tried, credentials of TLS. Main thread, but for fl_policy_order(). CoreDNS: plugin/pkg/parse, plugin/pkg/tls. */
#pragma once
#include "base/rng.h"
#include "dns/setup.h"
#include "net/tls.h"
#include "net/upstream.h"
#include "wire/message.h"

/* "tls://192.0.2.1%name:853", "[2001:db8::1]", "ns.example.org", "/etc/resolv.conf". Pieces of the argument, borrowed. */
struct fl_target {
	const char *scheme;             /* "dns" when there is none; static */
	struct fl_str host, port, zone; /* no brackets; the scheme's port when there is none; zone: behind the last % */
	struct fl_str rest;             /* all behind the scheme: the path, if it is a file */
	bool ip, port_given;
};
/* false: nothing behind the scheme (CoreDNS: "invalid address"). */
bool fl_target_parse(struct fl_str arg, struct fl_target *t);
/* "HOST:PORT", with brackets around an IPv6 address; arena memory. */
const char *fl_target_text(struct fl_arena *a, const struct fl_target *t);
/* The nameserver lines of a resolv.conf(5), in order; each as it stands; of a folder none. Arena memory. 0, or -ENOENT: cannot be read. */
int fl_resolvconf_read(struct fl_arena *a, const char *path, struct fl_str **server, unsigned *n);

/* ---- questions of our own (probes, look-ups): not a client's ---- */

/* Room of FL_UP_ROOM octets and the message behind them, in the caller's memory as long as the question is out. */
enum { FL_OWN_QUERY = FL_UP_ROOM + FL_HEADER + FL_NAME_MAX + 4 };
/* What is asked of class IN; done, and what else is wanted, is the caller's to set. Any thread. */
struct fl_up_ask fl_own_query(uint8_t room[FL_OWN_QUERY], uint16_t flags, struct fl_name name, uint16_t type);
/* The addresses of an answer's records of type (A, AAAA), whoever owns them; how many. Any thread. */
unsigned fl_own_addresses(const struct fl_message *m, uint16_t type, struct fl_addr *to, unsigned most);

/* ---- policies and credentials ---- */

enum fl_policy { FL_RANDOM, FL_ROUND_ROBIN, FL_SEQUENTIAL };
int fl_setup_policy(struct fl_setup *s, enum fl_policy *to);    /* the argument of `policy`; 0 or the error */
/* The places of n servers in the order of this query. robin: shared by all shards. Any thread. */
void fl_policy_order(enum fl_policy p, uint8_t *to, unsigned n, struct fl_rng *rng, uint32_t *robin);

/* Credentials for [CERT KEY] [CA], paths below `root`, as `tls` of these plugins has them: none: the system's certificates; one: a CA; two: a
 * client certificate and its key; three: all. They live as long as a generation that asked for equal ones; *id tells them from others,
 * and so from the same files with new content. 0 or the error. */
int fl_setup_tls(struct fl_setup *s, const struct fl_str *arg, unsigned n, struct fl_tls_creds **out, uint64_t *id);

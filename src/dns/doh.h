/* doh: DNS over HTTPS (RFC 8484) on net/web, any version of HTTP, as CoreDNS serves it (core/dnsserver/server_https.go, server_https3.go): GET with ?dns=, POST, at one path. And
 * DNS over gRPC (server_grpc.go): one method, a DNS message in a protobuf of one field. Private to dns/; on shards. */
#pragma once
#include "dns/server_int.h"

extern const struct fl_web_ops fl_doh_ops, fl_grpc_ops;

/* coredns_dns_https_responses_total of one listener, h3: coredns_dns_https3_responses_total. Main thread. */
struct fl_grid *fl_doh_responses(struct fl_str server, bool h3);

/* Pure parts, for tests and the fuzzer. */
/* The one value of dns= in a target such as "/dns-query?dns=AAAA", decoded. Octets, -ENOENT: another path, -EINVAL. */
int fl_doh_get(struct fl_str target, uint8_t *to, size_t cap);
bool fl_doh_path(struct fl_str target);         /* the one that is served? */
/* For how long an answer may be kept, in seconds: the least TTL, at most an hour; 5 when there is none. */
uint32_t fl_doh_age(const uint8_t *msg, size_t n);
/* A gRPC body → the DNS message in it. 0, or a gRPC status with words. */
int fl_grpc_unwrap(const uint8_t *body, size_t n, struct fl_str *msg, const char **why);
size_t fl_grpc_wrap(uint8_t head[10], size_t n);        /* what stands before a message of n octets */

/* proxy: which HTTP proxy stands before a server: one that is named, or HTTPS_PROXY, HTTP_PROXY and NO_PROXY of the environment as Go reads
 * them (golang.org/x/net/http/httpproxy). Main thread. */
#pragma once
#include "base/err.h"
#include "base/mem.h"

struct fl_proxy { const char *host, *auth; uint16_t port; };    /* host NULL: none; auth: Proxy-Authorization, or NULL. Arena memory */

/* Checks a kubeconfig's proxy-url: 0, or -EINVAL with client-go's words without those that name the cluster. */
int fl_proxy_check(struct fl_str url, struct fl_err *e);
/* [http://][user:password@]host[:port][/…]: fills p. 0, or -EINVAL with the words: what is asked for is not to be had. */
int fl_proxy_parse(struct fl_proxy *p, struct fl_arena *a, struct fl_str url, struct fl_err *e);
/* Fills p as the environment says for this server, or leaves it. 0 or -EINVAL with the words. */
int fl_proxy_environment(struct fl_proxy *p, struct fl_arena *a, bool tls, const char *host, uint16_t port, struct fl_err *e);
/* May a host be asked through a proxy? no_proxy: the list; NULL is none. */
bool fl_proxy_wanted(const char *host, uint16_t port, const char *no_proxy);

/* proxy: which HTTP proxy stands before an API server: proxy-url of a kubeconfig's cluster, else HTTPS_PROXY, HTTP_PROXY and NO_PROXY of
 * the environment as Go reads them (golang.org/x/net/http/httpproxy). Start-up only. */
#pragma once
#include "kube/config.h"

/* Checks a proxy-url: 0, or -EINVAL with client-go's words without those that name the cluster. */
int fl_kube_proxy_check(struct fl_str url, struct fl_err *e);
/* Fills proxy_host, proxy_port and proxy_auth, or leaves them. 0, or -EINVAL with the words: what is asked for is not to be had. */
int fl_kube_proxy(struct fl_kube_config *k, struct fl_err *e);
/* May a host be asked through a proxy? no_proxy: the list; NULL is none. */
bool fl_kube_proxy_wanted(const char *host, uint16_t port, const char *no_proxy);

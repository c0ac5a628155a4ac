/* proxy: which HTTP proxy stands before an API server: proxy-url of a kubeconfig's cluster, else the environment's (net/proxy). Start-up only. */
#pragma once
#include "kube/config.h"

/* Fills proxy_host, proxy_port and proxy_auth. 0, or -EINVAL with the words: what is asked for is not to be had. */
int fl_kube_proxy(struct fl_kube_config *k, struct fl_err *e);

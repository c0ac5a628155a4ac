#include "kube/proxy.h"
#include "net/proxy.h"

int fl_kube_proxy(struct fl_kube_config *k, struct fl_err *e)
{
	struct fl_proxy p = { 0 };
	int ret = k->proxy_url ? fl_proxy_parse(&p, &k->mem, fl_str(k->proxy_url), e) :
				 fl_proxy_environment(&p, &k->mem, k->tls, k->host, k->port, e);
	k->proxy_host = p.host;
	k->proxy_auth = p.auth;
	k->proxy_port = p.port;
	return ret;
}

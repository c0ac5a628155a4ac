/* netexec's parts: the server's endpoints, and /dial, which asks other servers. */
#pragma once
#include "cmd/fairctl/httpd.h"

void netexec_dial(struct http_request *r);

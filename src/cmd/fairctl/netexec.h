/* netexec's parts: the server's endpoints, among them /dial, which asks other servers, and those that run what they are sent; and the
 * servers of UDP and SCTP, each on a thread of its own. */
#pragma once
#include "cmd/fairctl/httpd.h"

void netexec_dial(struct http_request *r);
void netexec_shell(struct http_request *r);
void netexec_upload(struct http_request *r);

/* addresses: with commas between them; "": all. What cannot be bound ends the program. */
void netexec_start_udp(const char *addresses, int64_t port);
void netexec_start_sctp(int64_t port);
int netexec_serving(void);              /* how many of these run */

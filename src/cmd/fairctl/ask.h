/* ask: one DNS query to one server, blocking, by UDP (again by TCP when it was cut), TCP, TLS (RFC 7858) or HTTPS (RFC 8484), within a
 * time. For commands; one thread. */
#pragma once
#include "base/mem.h"
#include "cmd/fairctl/gonet.h"
#include "net/tls.h"
#include "wire/message.h"

enum ask_how { ASK_UDP, ASK_TCP, ASK_TLS, ASK_HTTPS, ASK_HTTP };

struct ask_server {
	enum ask_how how;
	struct go_addr addr;
	char text[300];                 /* for people: "127.0.0.1:53", the URL of HTTPS */
	char host[256], path[256];      /* TLS name; HTTPS's path */
	uint16_t port;
	struct fl_tls_creds *creds;     /* TLS, HTTPS; the caller's */
};

/* "1.2.3.4", "[::1]:53", "name:53", "tcp://…", "tls://…", "https://host/dns-query"; how and port stand where the text does not say.
 * 0, or -EINVAL with words. */
int ask_server_parse(struct ask_server *s, const char *text, enum ask_how how, unsigned port, struct fl_err *e);
const char *ask_how_text(enum ask_how how);     /* "udp" */

struct ask_reply {
	struct fl_message m;            /* in the arena */
	size_t n;                       /* octets */
	uint64_t took_ns;
	bool by_tcp;                    /* UDP's answer was cut */
};

struct ask_question { struct fl_name name; uint16_t type, class, flags; bool edns; uint16_t udp_size, edns_flags; };

/* attempts: how often UDP is sent within the time. 0; -ETIMEDOUT, -ECONNREFUSED, -EBADMSG or other -errno with words in e. */
int ask(struct ask_reply *r, struct fl_arena *a, const struct ask_server *s, const struct ask_question *q, uint64_t timeout_ns, unsigned attempts,
	struct fl_err *e);

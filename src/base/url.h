/* url: an http or https URL taken apart (RFC 3986 §3). Spans of the caller's text; nothing is decoded. */
#pragma once
#include "base/str.h"

struct fl_url {
	bool tls;                       /* https */
	struct fl_str host;             /* without the brackets of an IPv6 address; never empty */
	struct fl_str authority;        /* host[:port] as it was written */
	struct fl_str rest;             /* from the first of / ? # on; may be empty */
	uint16_t port;                  /* of the scheme where none was written: 443, 80 */
};

/* "https://host[:port]…"; false: it is none, names a user, or has a space or a control character in it. */
bool fl_url_http(struct fl_url *u, struct fl_str text);

/* "host", "host:", "host:port", "[v6]", "[v6]:port", for which u->port says what it is without one. Fills host, authority and port; false: it is
 * none of these, or there is a user, a space or a control character in it. */
bool fl_url_authority(struct fl_url *u, struct fl_str text);

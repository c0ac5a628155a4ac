/* table: a hosts file, packed: for each name its A and AAAA set, for each address its PTR set, each found by one hash lookup.
 *
 * Immutable and one piece of memory: the main thread builds it, shards read, free() gives it back (after a grace period). */
#pragma once
#include "dns/zones.h"
#include "wire/rrset.h"

struct fl_hosts;

struct fl_hosts_how {
	const struct fl_zones *zones;   /* names outside are left out; NULL: all are taken */
	uint32_t ttl;
	bool no_reverse;
	const char *source;             /* for the log: "Hosts file \"/etc/hosts\"" */
};

/* Text in the form of hosts(5); what is no address or no name is skipped as CoreDNS does. Never NULL. */
struct fl_hosts *fl_hosts_parse(struct fl_str text, const struct fl_hosts_how *how);
size_t fl_hosts_bytes(const struct fl_hosts *h);
size_t fl_hosts_entries(const struct fl_hosts *h);      /* addresses of names and names of addresses */

/* Lines that begin with an address, lines that say something else, and the number of the first of those. */
struct fl_hosts_lines { unsigned good, odd, first; };
struct fl_hosts_lines fl_hosts_lines(const struct fl_hosts *h);

/* Sets of a name in any letter case, or of the wildcard in place of its first label: for each family by itself. NULL: none. */
void fl_hosts_name(const struct fl_hosts *h, struct fl_name n, const struct fl_rrset **a, const struct fl_rrset **aaaa);
const struct fl_rrset *fl_hosts_addr(const struct fl_hosts *h, const struct fl_addr *addr);    /* PTR; NULL: none */

/* str: a span of bytes that somebody else owns. NUL-terminated strings appear only at system calls and literals. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct fl_str { const char *p; size_t n; };

#define FL_STR(lit) ((struct fl_str){ "" lit, sizeof(lit) - 1 })
#define FL_FMT(s) (int)(s).n, (s).p     /* for "%.*s" */
#define FL_COUNT(a) (sizeof(a) / sizeof *(a))

/* Copies n bytes; from may be NULL when n is 0, which memcpy() does not allow (C11 7.24.1). Returns the end of the copy. */
static inline char *fl_put_bytes(void *to, const void *from, size_t n) { return (char *)(n ? memcpy(to, from, n) : to) + n; }
static inline struct fl_str fl_str(const char *z) { return (struct fl_str){ z, z ? strlen(z) : 0 }; }
static inline bool fl_str_eq(struct fl_str a, struct fl_str b) { return a.n == b.n && (!a.n || !memcmp(a.p, b.p, a.n)); }
static inline bool fl_str_is(struct fl_str a, const char *z) { return fl_str_eq(a, fl_str(z)); }

/* ASCII letters folded to lower case; other bytes as they are (RFC 4343). */
static inline uint8_t fl_lower(uint8_t c) { return c >= 'A' && c <= 'Z' ? c | 0x20 : c; }
bool fl_str_ieq(struct fl_str a, struct fl_str b);
bool fl_str_starts(struct fl_str s, struct fl_str prefix);
bool fl_str_ends(struct fl_str s, struct fl_str suffix);
/* Without ASCII white space at both ends. */
struct fl_str fl_str_trim(struct fl_str s);
/* Cuts at the first c: *head is what stands before it (all of s when there is none), the rest after it is returned. */
struct fl_str fl_str_cut(struct fl_str s, char c, struct fl_str *head);

/* base64url without padding (RFC 4648 §5). to holds 4 characters for every 3 octets begun, and the NUL; the length without that. */
size_t fl_base64url(char *to, const void *from, size_t n);

/* The one integer parser: the whole of s as a decimal, optional sign, min..max; 0, -EINVAL (not a number), -ERANGE. */
int fl_parse_int(struct fl_str s, int64_t min, int64_t max, int64_t *out);

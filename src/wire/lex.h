/* lex: the tokens of a zone-file line, cut as miekg/dns cuts them (scan.go), so that what a Corefile's template may write and the
 * place that an error names stay the same. A token keeps its backslashes. Private to wire/. */
#pragma once
#include "base/err.h"
#include "wire/rrset.h"

enum fl_lex_kind { FL_LEX_END, FL_LEX_OWNER, FL_LEX_STRING, FL_LEX_BLANK, FL_LEX_QUOTE, FL_LEX_NEWLINE, FL_LEX_TYPE, FL_LEX_CLASS,
		   FL_LEX_BAD };

struct fl_lex_token { enum fl_lex_kind kind; struct fl_str text; uint16_t code; unsigned line, column; };

struct fl_lex {
	const char *p, *end;
	char *out;              /* tokens are put together here: as many bytes as there is text */
	unsigned line, column;
	int brace;
	bool owner, space, typed, quote, comment, closed, eol, held;
	struct fl_lex_token hold;
};

/* False: no memory. */
bool fl_lex_init(struct fl_lex *l, struct fl_arena *a, struct fl_str text);
struct fl_lex_token fl_lex_next(struct fl_lex *l);
/* Fills e with `dns: WORDS: "TOKEN" at line: L:C`; returns -EINVAL. */
int fl_lex_error(struct fl_err *e, const struct fl_lex_token *t, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* Unescapes text (\DDD and \X) into to, which holds text.n. Returns the length. */
size_t fl_text_unescape(uint8_t *to, struct fl_str text);

/* SvcParams (RFC 9460), svcb.c. Reads key=value pairs up to the end of the line; returns the octets, or -EINVAL. to holds cap. */
int fl_svcb_parse(uint8_t *to, size_t cap, struct fl_lex *l, struct fl_err *e);

/* A bounded text being written: what does not fit is left out. */
struct fl_text_out { char *p; size_t n, cap; };
void fl_text_put(struct fl_text_out *o, const char *s, size_t n);
void fl_text_printf(struct fl_text_out *o, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void fl_text_escaped(struct fl_text_out *o, const uint8_t *p, size_t n);        /* as inside quotes */
void fl_text_base64(struct fl_text_out *o, const uint8_t *p, size_t n);
void fl_svcb_text(struct fl_text_out *o, const uint8_t *p, size_t n);   /* p is checked */
int fl_base64_parse(uint8_t *to, size_t cap, struct fl_str s);          /* octets, or -EINVAL */

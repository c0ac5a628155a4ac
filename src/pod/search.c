#include "pod/search.h"
#include "pod/words.h"

enum { SERVERS_MAX = 3, NDOTS_MAX = 15 };

/* ---- resolv.conf ---- */

static unsigned number(struct fl_str text, unsigned most, unsigned now)
{
	unsigned n = 0, digits = 0;
	for (; digits < text.n && text.p[digits] >= '0' && text.p[digits] <= '9'; digits++)
		n = n < 100000 ? 10 * n + (unsigned)(text.p[digits] - '0') : n;
	return !digits ? now : n < most ? n : most;
}

static void option(struct fl_resolver *to, enum fl_libc libc, struct fl_str o)
{
	struct fl_str name, value = fl_str_cut(o, ':', &name);
	bool musl = libc == FL_MUSL;
	if (fl_str_is(name, "ndots") && !musl && name.n < o.n)
		to->ndots = number(value, NDOTS_MAX, 0);        /* no digits are 0 there */
	else if (fl_str_is(name, "ndots"))
		to->ndots = number(value, NDOTS_MAX, to->ndots);
	else if (fl_str_is(name, "timeout"))
		to->timeout_s = number(value, musl ? 60 : 30, to->timeout_s);
	else if (fl_str_is(name, "attempts"))
		to->attempts = number(value, musl ? 10 : 5, to->attempts);
	else if (fl_str_is(name, "use-vc") && libc == FL_GLIBC)
		to->use_tcp = true;
	else if (fl_str_is(name, "rotate") && libc == FL_GLIBC)
		to->rotate = true;
}

/* What an address is made of; names are no servers. */
static bool looks_like_address(struct fl_str w)
{
	bool colon = false;
	unsigned dots = 0;
	for (size_t i = 0; i < w.n && w.p[i] != '%'; i++) {
		char c = w.p[i];
		colon |= c == ':';
		dots += c == '.';
		if (!(c >= '0' && c <= '9') && !(c >= 'a' && c <= 'f') && !(c >= 'A' && c <= 'F') && c != ':' && c != '.')
			return false;
	}
	return colon || dots == 3;
}

void fl_client_parse(struct fl_arena *a, struct fl_str text, enum fl_libc libc, struct fl_resolver *to)
{
	*to = (struct fl_resolver){ .ndots = 1, .timeout_s = 5, .attempts = 2 };
	while (text.n) {
		struct fl_str rest, w;
		text = fl_str_cut(text, '\n', &rest);
		if (rest.n && (*rest.p == '#' || *rest.p == ';' || *rest.p == ' ' || *rest.p == '\t'))
			continue;               /* the word must begin the line */
		struct fl_str first = fl_word(&rest);
		bool search = fl_str_is(first, "search"), domain = fl_str_is(first, "domain");
		if (search || domain)
			to->searches.n = 0;     /* the last line wins */
		if (fl_str_is(first, "nameserver") && (w = fl_word(&rest)).n && to->servers.n < SERVERS_MAX && looks_like_address(w))
			fl_words_add(a, &to->servers, w);
		while ((search || (domain && !to->searches.n)) && (w = fl_word(&rest)).n)
			fl_words_add(a, &to->searches, w);
		while (fl_str_is(first, "options") && (w = fl_word(&rest)).n)
			option(to, libc, w);
	}
	to->timeout_s = to->timeout_s ? to->timeout_s : 1;
	to->attempts = to->attempts ? to->attempts : 1;
	if (!to->servers.n)
		fl_words_add(a, &to->servers, FL_STR("127.0.0.1"));
}

/* ---- the search ---- */

void fl_search_begin(struct fl_search *s, struct fl_arena *a, enum fl_libc libc, const struct fl_resolver *client, struct fl_str name)
{
	*s = (struct fl_search){ .a = a, .libc = libc, .client = client, .name = name, .saved = -1, .result = FL_ANSWER_NXDOMAIN };
	unsigned dots = 0;
	for (size_t i = 0; i < name.n; i++)
		dots += name.p[i] == '.';
	s->absolute = name.n && name.p[name.n - 1] == '.';
	if (s->absolute)
		s->name.n--;
	if (!name.n || (s->name.n && s->name.p[s->name.n - 1] == '.')) {
		s->over = true;
		s->result = FL_ANSWER_BAD_NAME;
	}
	s->first_as_is = s->absolute || dots >= client->ndots;
	s->listing = !s->absolute && !(libc == FL_MUSL && dots >= client->ndots);
}

bool fl_search_next(struct fl_search *s, struct fl_str *name)
{
	if (s->over)
		return false;
	s->asking_as_is = (s->first_as_is && !s->tried_as_is) || !s->listing;
	*name = s->name;
	while (!s->asking_as_is && s->at < s->client->searches.n) {
		struct fl_str d = s->client->searches.at[s->at++];
		if (d.n && *d.p == '.')         /* the root, or written with a dot before it */
			d = (struct fl_str){ d.p + 1, d.n - 1 };
		if (d.n && d.p[d.n - 1] == '.')
			d.n--;
		if (s->libc == FL_MUSL && s->name.n + 1 + d.n > 255)
			continue;               /* musl passes over what does not fit */
		if (!d.n && s->tried_as_is)
			continue;
		s->tried_as_is |= !d.n;
		*name = d.n ? fl_arena_printf(s->a, "%.*s.%.*s", FL_FMT(s->name), FL_FMT(d)) : s->name;
		return true;
	}
	if (!s->asking_as_is && s->tried_as_is) {
		fl_search_told(s, s->result);
		return false;
	}
	s->asking_as_is = s->tried_as_is = true;
	return true;
}

/* What the program is told in the end, when nothing was found. */
static void conclude(struct fl_search *s, enum fl_answer last)
{
	s->over = true;
	s->result = last;
	if (s->libc != FL_GLIBC || last == FL_ANSWER_FOUND)
		return;
	if (s->saved >= 0)
		s->result = (enum fl_answer)s->saved;
	else if (s->nodata)
		s->result = FL_ANSWER_NODATA;
	else if (s->servfail)
		s->result = FL_ANSWER_SERVFAIL;
}

void fl_search_told(struct fl_search *s, enum fl_answer answer)
{
	bool left = s->listing && s->at < s->client->searches.n, glibc = s->libc == FL_GLIBC;
	if (s->over)
		return;
	s->result = answer;
	s->nodata |= answer == FL_ANSWER_NODATA;
	s->servfail |= answer == FL_ANSWER_SERVFAIL;
	if (answer == FL_ANSWER_FOUND)
		return conclude(s, answer);
	bool go_on = s->libc == FL_MUSL ? answer == FL_ANSWER_NXDOMAIN
		   : glibc ? answer <= FL_ANSWER_SERVFAIL || s->asking_as_is
			   : answer == FL_ANSWER_NXDOMAIN || answer == FL_ANSWER_SERVFAIL || answer == FL_ANSWER_OTHER;
	if (glibc && answer == FL_ANSWER_UNREACHABLE && !s->asking_as_is)
		return conclude(s, answer);     /* res_search gives up at once */
	if (s->asking_as_is && glibc && s->first_as_is)
		s->saved = answer;
	if (!go_on && glibc && !s->tried_as_is) {
		s->at = s->client->searches.n;  /* no more of the list, but the name as it is */
		return;
	}
	if (!go_on || (!left && s->tried_as_is))
		conclude(s, answer);
}

const char *fl_answer_text(enum fl_answer a)
{
	static const char *const text[] = { "found", "the name exists, the type does not", "no such name", "server failure", "refused or not understood",
					    "no answer", "connection refused", "no domain name" };
	return text[a];
}

/* bind: the addresses that a block listens on. Interfaces are asked for theirs when the configuration is read. */
#include "dns/plugin.h"
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>

struct list { struct fl_str *at; unsigned n, cap; struct fl_arena *arena; };

static void list_add(struct list *l, struct fl_str text)
{
	if (l->n == l->cap) {
		unsigned cap = l->cap ? 2 * l->cap : 8;
		struct fl_str *more = fl_zalloc(l->arena, cap * sizeof *more);
		fl_assert(more);
		if (l->n)
			memcpy(more, l->at, l->n * sizeof *more);
		l->at = more;
		l->cap = cap;
	}
	l->at[l->n++] = text;
}

static bool list_has(const struct list *l, struct fl_str text)
{
	for (unsigned i = 0; i < l->n; i++)
		if (fl_str_eq(l->at[i], text))
			return true;
	return false;
}

/* Link-local addresses with the interface: fe80::1%eth0. */
static void interface_address(struct list *l, const char *name, const struct sockaddr *sa)
{
	struct fl_addr a = { 0 };
	char text[64];
	if (sa && sa->sa_family == AF_INET) {
		a.len = 4;
		memcpy(a.b, &((const struct sockaddr_in *)sa)->sin_addr, 4);
	} else if (sa && sa->sa_family == AF_INET6) {
		a.len = 16;
		memcpy(a.b, &((const struct sockaddr_in6 *)sa)->sin6_addr, 16);
	} else {
		return;
	}
	size_t n = fl_addr_text(text, &a);
	bool local = a.len == 16 && ((a.b[0] == 0xfe && (a.b[1] & 0xc0) == 0x80) || (a.b[0] == 0xff && (a.b[1] & 0xf) == 2));
	list_add(l, fl_arena_printf(l->arena, "%.*s%s%s", (int)n, text, local ? "%" : "", local ? name : ""));
}

/* Addresses and interface names → addresses. */
static int expand(struct fl_setup *s, const struct ifaddrs *all, const struct fl_str *arg, unsigned n, struct list *out)
{
	for (unsigned i = 0; i < n; i++) {
		bool found = false;
		struct fl_addr a;
		for (const struct ifaddrs *f = all; f; f = f->ifa_next) {
			if (!fl_str_is(arg[i], f->ifa_name))
				continue;
			found = true;
			interface_address(out, f->ifa_name, f->ifa_addr);
		}
		if (found)
			continue;
		if (!fl_addr_parse(arg[i], &a))
			return fl_setup_error(s, "not a valid IP address or interface name: \"%.*s\"", FL_FMT(arg[i]));
		list_add(out, arg[i]);
	}
	return 0;
}

static int directive(struct fl_setup *s, const struct ifaddrs *all, struct list *out)
{
	struct fl_disp *d = fl_setup_disp(s);
	struct list found = { .arena = out->arena }, except = { .arena = out->arena };
	struct fl_str *arg;
	unsigned n = fl_disp_args(d, &arg);
	if (!n)
		return fl_setup_error(s, "at least one address or interface name is expected");
	int ret = expand(s, all, arg, n, &found);
	while (!ret && fl_disp_next_block(d)) {
		if (!fl_str_is(fl_disp_val(d), "except"))
			return fl_setup_error(s, "invalid option \"%.*s\"", FL_FMT(fl_disp_val(d)));
		n = fl_disp_args(d, &arg);
		if (!n)
			return fl_setup_error(s, "at least one address or interface must be given to except subdirective");
		except.n = 0;                   /* the last one counts */
		ret = expand(s, all, arg, n, &except);
	}
	for (unsigned i = 0; i < found.n && !ret; i++)
		if (!list_has(&except, found.at[i]))
			list_add(out, found.at[i]);
	return ret;
}

static int setup(struct fl_setup *s, void **inst)
{
	struct fl_disp *d = fl_setup_disp(s);
	struct list out = { .arena = fl_setup_arena(s) };
	struct ifaddrs *all = NULL;
	int ret = 0;
	(void)inst;
	if (getifaddrs(&all))
		all = NULL;
	while (!ret && fl_disp_next(d))
		ret = directive(s, all, &out);
	if (all)
		freeifaddrs(all);
	fl_setup_block(s)->bind = out.at;
	fl_setup_block(s)->nbind = out.n;
	return ret;
}

static const struct fl_opt opts[] = {
	{ "", "ADDRESS|INTERFACE...", "where to listen; an interface stands for all its addresses" },
	{ "except", "ADDRESS|INTERFACE...", "but not on these" },
	{ 0 },
};

FL_PLUGIN(bind, .opts = opts, .setup = setup);

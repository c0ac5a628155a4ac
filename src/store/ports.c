/* Lists of ports, one copy of each that differs: a cluster of ten thousand services has a few dozen. */
#include "store/store_int.h"
#include <stdlib.h>

static struct fl_str protocol_of(const struct fl_port_in *p) { return p->protocol.n ? p->protocol : FL_STR("TCP"); }

static bool same(const struct fl_ports *l, const struct fl_port_in *in, unsigned n)
{
	if (l->n != n)
		return false;
	for (unsigned i = 0; i < n; i++) {
		const struct fl_port *p = &l->port[i];
		if (p->port != in[i].port || !fl_str_eq(p->name, in[i].name) || !fl_str_eq(p->protocol, protocol_of(&in[i])) ||
		    !fl_str_eq(p->app_protocol, in[i].app_protocol))
			return false;
	}
	return true;
}

static void grow(struct fl_port_lists *t)
{
	uint32_t cap = t->cap ? 2 * t->cap : 16;
	struct fl_ports **bucket = fl_xalloc(cap * sizeof *bucket);
	for (uint32_t b = 0; b < t->cap; b++)
		for (struct fl_ports *l = t->bucket[b], *next; l; l = next) {
			next = l->next;
			l->next = bucket[l->digest & (cap - 1)];
			bucket[l->digest & (cap - 1)] = l;
		}
	free(t->bucket);
	t->bucket = bucket;
	t->bytes += (cap - t->cap) * sizeof *bucket;
	t->cap = cap;
}

static struct fl_str place(char **at, struct fl_str s)
{
	struct fl_str to = { *at, s.n };
	if (s.n)
		memcpy(*at, s.p, s.n);
	*at += s.n + 1;                         /* fresh memory is zeroed: a NUL stands there */
	return to;
}

struct fl_ports *fl_ports_get(struct fl_port_lists *t, const struct fl_port_in *in, unsigned n)
{
	uint64_t digest = fl_digest_ports(in, n);
	for (struct fl_ports *l = t->cap ? t->bucket[digest & (t->cap - 1)] : NULL; l; l = l->next)
		if (l->digest == digest && same(l, in, n)) {
			l->refs++;
			return l;
		}
	if (t->n == t->cap)
		grow(t);
	size_t bytes = sizeof(struct fl_ports) + n * sizeof(struct fl_port);
	for (unsigned i = 0; i < n; i++)
		bytes += in[i].name.n + protocol_of(&in[i]).n + in[i].app_protocol.n + 3;
	struct fl_ports *l = fl_xalloc(bytes);
	char *text = (char *)&l->port[n];
	*l = (struct fl_ports){ .next = t->bucket[digest & (t->cap - 1)], .digest = digest, .refs = 1, .n = n,
				.bytes = (uint32_t)bytes };
	for (unsigned i = 0; i < n; i++) {
		l->port[i].name = place(&text, in[i].name);
		l->port[i].protocol = place(&text, protocol_of(&in[i]));
		l->port[i].app_protocol = place(&text, in[i].app_protocol);
		l->port[i].port = in[i].port;
	}
	t->bucket[digest & (t->cap - 1)] = l;
	t->n++;
	t->bytes += bytes;
	return l;
}

void fl_ports_put(struct fl_port_lists *t, struct fl_ports *l, struct fl_rcu_bin *bin)
{
	if (!l || --l->refs)
		return;
	struct fl_ports **p = &t->bucket[l->digest & (t->cap - 1)];
	while (*p != l)
		p = &(*p)->next;
	*p = l->next;
	t->n--;
	t->bytes -= l->bytes;
	fl_rcu_free_later(bin, l, l->bytes);
}

void fl_port_lists_finish(struct fl_port_lists *t)
{
	for (uint32_t b = 0; b < t->cap; b++)
		for (struct fl_ports *l = t->bucket[b], *next; l; l = next) {
			next = l->next;
			free(l);
		}
	free(t->bucket);
	*t = (struct fl_port_lists){ 0 };
}

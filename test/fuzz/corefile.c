/* A Corefile from a stranger: parse it, walk every directive as a plugin would, and read every token as a key, a zone and a
 * duration. Parsing again must give the same hash. */
#include <stdlib.h>
#include <unistd.h>
#include "conf/conf.h"

static void walk(const struct fl_conf *c, const struct fl_directive *dir)
{
	struct fl_err e;
	struct fl_disp d;
	struct fl_str *arg;
	fl_disp_init(&d, c, dir, &e);
	unsigned seen = 0;
	while (fl_disp_next(&d)) {
		seen += fl_disp_args(&d, &arg);
		while (fl_disp_next_block(&d))
			seen += fl_disp_args(&d, &arg);
		fl_disp_next_line(&d);
		fl_disp_arg_err(&d);
	}
	fl_assert(seen <= dir->ntok);
}

static void values(struct fl_arena *a, struct fl_str s)
{
	struct fl_err e;
	struct fl_key *k;
	struct fl_str *z;
	unsigned n, m = fl_zone_parse(a, s, &z);
	int64_t v;
	char text[32];
	fl_assert(!s.p[s.n]);
	for (unsigned i = 0; i < m; i++)
		fl_zone_is_preferred(z[i]);
	if (!fl_key_parse(a, s, "53", &k, &n, &e))
		fl_assert(n == m && n > 0 && fl_str_eq(k[n - 1].zone, z[n - 1]));
	if (!fl_duration_parse(s, &v, &e)) {
		int64_t again;
		fl_assert(fl_duration_text(text, v) < sizeof text);
		fl_assert(!fl_duration_parse(fl_str(text), &again, &e) && again == v);
	}
	fl_atoi(s, &v, &e);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static char folder[] = "/tmp/fl-fuzz-XXXXXX";           /* empty: relative imports find nothing */
	static bool made;
	if (!made)
		made = mkdtemp(folder) && !setenv("A", "value {$B}", 1) && !setenv("B", "{", 1) && !rmdir(folder);
	struct fl_conf c, again;
	struct fl_err e;
	struct fl_str text = { (const char *)data, n };
	int ret = fl_conf_parse(&c, "Corefile", text, folder, NULL, &e);
	for (unsigned b = 0; b < c.nblock; b++) {
		for (unsigned i = 0; i < c.block[b].nkey; i++) {
			values(&c.arena, c.block[b].key[i].text);
			fl_key_accident(&c.arena, &c, &c.block[b].key[i]);
		}
		for (unsigned i = 0; i < c.block[b].ndir; i++) {
			walk(&c, &c.block[b].dir[i]);
			for (unsigned t = 0; t < c.block[b].dir[i].ntok; t++)
				values(&c.arena, c.block[b].dir[i].tok[t].text);
		}
	}
	fl_assert(fl_conf_parse(&again, "Corefile", text, folder, NULL, &e) == ret);
	fl_assert(ret || !strcmp(c.sha512, again.sha512));
	fl_conf_finish(&again);
	fl_conf_finish(&c);
	return 0;
}

/* A template: what compiles runs within its bounds and says the same twice, flat or not; errors are told. */
#include <errno.h>
#include "lang/gotmpl.h"

static int field(void *arg, struct fl_arena *a, int object, struct fl_str name, struct fl_tmpl_value *out)
{
	static const struct fl_tmpl_value list[] = { { .kind = FL_TMPL_STR, .s = { "abc", 3 } }, { .kind = FL_TMPL_STR, .s = { "", 0 } } };
	static const struct fl_tmpl_value map[] = { { .kind = FL_TMPL_STR, .s = { "a", 1 } }, { .kind = FL_TMPL_FLOAT, .f = 1.5e-30 },
		{ .kind = FL_TMPL_STR, .s = { "b", 1 } }, { .kind = FL_TMPL_LIST, .n = 2, .at = list } };
	(void)arg, (void)a;
	if (object || !name.n)
		return -ENOENT;
	switch (name.p[0]) {
	case 'N': *out = list[0]; return 0;
	case 'M': *out = (struct fl_tmpl_value){ .kind = FL_TMPL_LIST, .n = 2, .at = list, .type = "[]string" }; return 0;
	case 'V': *out = (struct fl_tmpl_value){ .kind = FL_TMPL_MAP, .n = 2, .at = map }; return 0;
	case 'I': *out = (struct fl_tmpl_value){ .kind = FL_TMPL_INT, .i = INT64_MIN }; return 0;
	case 'U': *out = (struct fl_tmpl_value){ .kind = FL_TMPL_UINT, .u = 65535, .type = "uint16" }; return 0;
	case 'Q': *out = (struct fl_tmpl_value){ .kind = FL_TMPL_OBJECT, .object = 1, .type = "*x" }; return 0;
	default: return name.p[0] == 'L' ? -ENOTSUP : -ENOENT;
	}
}

static struct fl_str meta(void *arg, struct fl_arena *a, struct fl_str text)
{
	(void)arg, (void)a;
	return text.n ? text : FL_STR("none");
}

static const struct fl_tmpl_world world = { .root_type = "*root", .field = field, .method = "Meta", .call = meta };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct fl_arena a, b[2];
	struct fl_err e = { "" };
	struct fl_tmpl t;
	struct fl_str out[2];
	int ret[2];
	if (n > 4000)
		return 0;
	fl_arena_init(&a, NULL, 0, NULL, 8 << 20);
	int bad = fl_tmpl_compile(&t, &a, "answer", (struct fl_str){ (const char *)data, n }, &world, &e);
	fl_assert(!bad || bad == -ENOMEM || (bad == -EINVAL && e.msg[0]));
	for (unsigned i = 0; i < 2 && !bad; i++) {
		fl_arena_init(&b[i], NULL, 0, NULL, 2 << 20);
		ret[i] = fl_tmpl_run(&t, &b[i], NULL, &out[i], &e);
		fl_assert(!ret[i] || ret[i] == -EINVAL || ret[i] == -ENOMEM);
		fl_assert(ret[i] || out[i].n <= FL_TMPL_OUT);
	}
	if (!bad) {
		fl_assert(ret[0] == ret[1] && (ret[0] || fl_str_eq(out[0], out[1])));
		fl_arena_finish(&b[0]);
		fl_arena_finish(&b[1]);
	}
	fl_arena_finish(&a);
	return 0;
}

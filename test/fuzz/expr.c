/* An expression: what compiles runs within its bounds, says the same twice, and errors are told. */
#include <errno.h>
#include "lang/expr.h"
#include "lang/regex.h"

static int text(void *arg, struct fl_arena *a, const struct fl_expr_value *in, struct fl_expr_value *out)
{
	(void)a;
	*out = (struct fl_expr_value){ FL_EXPR_STR, .s = in[0].s.n ? in[0].s : *(struct fl_str *)arg };
	return in[0].s.n > 100 ? -EINVAL : 0;
}

static int number(void *arg, struct fl_arena *a, const struct fl_expr_value *in, struct fl_expr_value *out)
{
	(void)a, (void)in;
	*out = (struct fl_expr_value){ FL_EXPR_INT, .i = (int64_t)((struct fl_str *)arg)->n };
	return 0;
}

static int flag(void *arg, struct fl_arena *a, const struct fl_expr_value *in, struct fl_expr_value *out)
{
	(void)arg, (void)a;
	*out = (struct fl_expr_value){ FL_EXPR_BOOL, .b = in[0].s.n < in[1].s.n };
	return 0;
}

static const struct fl_expr_fn fns[] = {
    {"metadata", "ss", true, text}, {"size", "i", false, number}, {"incidr", "bss", true, flag}, {0}};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static struct fl_regex_scratch *scratch;
	struct fl_str src = { (const char *)data, n };
	struct fl_expr_value v[2] = { { 0 }, { 0 } };
	struct fl_arena a, b;
	struct fl_err e = { "" };
	int ret[2];
	if (!scratch)
		scratch = fl_regex_scratch_create(FL_REGEX_GROUPS);
	if (n > 4000)
		return 0;
	fl_arena_init(&a, NULL, 0, NULL, 8 << 20);
	struct fl_expr *first = fl_expr_compile(&a, FL_STR("[1, 'a', {'k': 2.5}]"), fns, &e), *second = fl_expr_compile(&a, FL_STR("7"), fns, &e);
	const struct fl_expr_name names[] = { { FL_STR("list"), first }, { FL_STR("seven"), second } };
	struct fl_expr_value named[2];
	if (!first || !second || fl_expr_run(first, &a, scratch, &src, &named[0]) || fl_expr_run(second, &a, scratch, &src, &named[1]))
		__builtin_trap();
	fl_expr_may_name(&a, src);
	struct fl_expr *x = fl_expr_compile_named(&a, src, fns, names, 2, &e);
	fl_assert(x || e.msg[0]);
	for (unsigned i = 0; x && i < 2; i++) {
		fl_arena_init(&b, NULL, 0, NULL, 1 << 20);
		ret[i] = fl_expr_run_named(x, &b, scratch, &src, named, &v[i]);
		fl_assert(!ret[i] || ret[i] == -EINVAL || ret[i] == -E2BIG || ret[i] == -ENOMEM);
		fl_arena_finish(&b);
	}
	if (x)
		fl_assert(ret[0] == ret[1] && (ret[0] || v[0].type == v[1].type));
	fl_expr_free(x);
	fl_arena_finish(&a);
	return 0;
}

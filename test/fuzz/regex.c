/* Pattern, newline, subject: the gate lets nothing through that crashes or hangs, and groups lie inside the subject. */
#include "lang/regex.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static struct fl_regex_scratch *s;
	struct fl_str subject, pattern;
	struct fl_err e;
	struct fl_regex_match m;
	if (!s)
		s = fl_regex_scratch_create(FL_REGEX_GROUPS);
	if (n > 2000)
		return 0;
	subject = fl_str_cut((struct fl_str){ (const char *)data, n }, '\n', &pattern);
	struct fl_regex *r = fl_regex_compile(pattern, &e);
	if (!r)
		return 0;
	if (fl_regex_match(r, s, subject, &m) == 1) {
		fl_assert(m.n == fl_regex_groups(r) + 1 && m.group[0].p);
		for (unsigned i = 0; i < m.n; i++)
			if (m.group[i].n)
				fl_assert(m.group[i].p >= subject.p && m.group[i].p + m.group[i].n <= subject.p + subject.n);
	}
	fl_regex_free(r);
	return 0;
}

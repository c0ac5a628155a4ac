/* All rules, and the order of what they found. */
#include "cmd/fairctl/explain.h"

void ex_add(struct ex_findings *to, enum ex_severity s, const char *cause, struct fl_str words, struct fl_str fix)
{
	for (unsigned i = 0; i < to->n; i++)
		if (!strcmp(to->at[i].cause, cause) && fl_str_eq(to->at[i].words, words))
			return;
	if (to->n < EX_FINDINGS)
		to->at[to->n++] = (struct ex_finding){ s, cause, words, fix };
}

/* Graver ones first, else as found. */
static void order(struct ex_findings *to)
{
	for (unsigned i = 1; i < to->n; i++)
		for (unsigned k = i; k && to->at[k].severity > to->at[k - 1].severity; k--) {
			struct ex_finding x = to->at[k];
			to->at[k] = to->at[k - 1];
			to->at[k - 1] = x;
		}
}

void ex_diagnose(const struct facts *f, struct ex_findings *to)
{
	to->n = 0;
	ex_rules_pod(f, to);
	ex_rules_cluster(f, to);
	ex_rules_server(f, to);
	order(to);
}

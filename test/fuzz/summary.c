/* The reader of metrics, which fairctl top gives any server's answer: it must not read past the end, and what it prints must be one JSON value. */
#include <stdlib.h>
#include <cjson/cJSON.h>
#include "base/err.h"
#include "base/mem.h"
#include "ctl/summary.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char *text;
static size_t len, cap;

static void gather(void *arg, const char *p, size_t n)
{
	(void)arg;
	if (cap - len < n + 1)
		text = fl_xrealloc(text, cap = 2 * cap + n + 1);
	memcpy(text + len, p, n);
	len += n;
	text[len] = 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct fl_summary first, second;
	char *exact = malloc(size ? size : 1);
	fl_put_bytes(exact, data, size);
	fl_summary_read(&first, exact, size / 2);
	fl_summary_read(&second, exact, size);
	free(exact);
	for (int i = 0; i < 2; i++) {
		len = 0;
		fl_summary_json(gather, NULL, i ? &first : NULL, &second, i);
		cJSON *j = cJSON_Parse(text);
		fl_assert(j);
		cJSON_Delete(j);
	}
	return 0;
}

/* Any bytes as a hosts file: every line that a simple reader understands is found again. */
#include "base/err.h"
#include "base/log.h"
#include "plugin/hosts/table.h"
#include <stdlib.h>

static void quiet(void *arg, const char *line, size_t n)
{
	(void)arg;
	(void)line;
	(void)n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static const struct fl_hosts_how how = { .ttl = 1, .source = "fuzz" };
	struct fl_str text = { (const char *)data, n }, line, addr, first;
	const struct fl_rrset *a, *six;
	struct fl_addr ip;
	uint8_t wire[FL_NAME_MAX];
	fl_log_capture(quiet, NULL);
	struct fl_hosts *h = fl_hosts_parse(text, &how);
	while (text.n) {
		text = fl_str_cut(text, '\n', &line);
		first = fl_str_cut(line, ' ', &addr);
		int len = fl_name_parse(wire, first);
		if (!fl_addr_parse(addr, &ip) || len <= 0 || memchr(first.p, '#', first.n) || memchr(first.p, '\t', first.n) ||
		    memchr(first.p, '\v', first.n) || memchr(first.p, '\f', first.n) || memchr(first.p, '\r', first.n) ||
		    memchr(first.p, ' ', first.n) || first.n > 1024 || wire[1] == '*')
			continue;
		fl_hosts_name(h, (struct fl_name){ wire, (uint8_t)len }, &a, &six);
		fl_assert(ip.len == 4 ? a != NULL : six != NULL);
		fl_assert(fl_hosts_addr(h, &ip));
	}
	free(h);
	return 0;
}

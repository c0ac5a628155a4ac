/* Questions from a file, "NAME TYPE" a line, for those who ask a server. Lines that are no question are passed over. */
#pragma once
#include "base/mem.h"
#include "conf/conf.h"
#include "wire/pack.h"
#include <stdio.h>
#include <stdlib.h>

struct question { uint8_t *bytes; uint16_t n; };        /* a message with ID 0 */

static struct question *question;
static unsigned nquestion;

/* bufsize: of an OPT, or -1. Exits when there are none. */
static void read_questions(const char *path, int64_t bufsize)
{
	struct fl_arena a;
	struct fl_str text, line;
	fl_arena_init(&a, NULL, 0, NULL, SIZE_MAX / 2);
	if (fl_conf_read(&a, path, &text))
		exit(fprintf(stderr, "%s: cannot be read\n", path));
	while (text.n) {
		text = fl_str_cut(text, '\n', &line);
		struct fl_str name, type = fl_str_trim(fl_str_cut(fl_str_trim(line), ' ', &name));
		uint8_t wire[FL_NAME_MAX], packet[512];
		uint16_t t;
		int n = name.n ? fl_name_parse(wire, name) : -1;
		if (n < 0 || !fl_type_parse(type, &t))
			continue;
		size_t len = fl_pack_query(packet, sizeof packet, 0, FL_RD, (struct fl_name){ wire, (uint8_t)n }, t, FL_C_IN, bufsize > 0,
					   (uint16_t)bufsize, 0, NULL);
		question = fl_xrealloc(question, (nquestion + 1) * sizeof *question);
		question[nquestion++] = (struct question){ memcpy(fl_xalloc(len), packet, len), (uint16_t)len };
	}
	if (!nquestion)
		exit(fprintf(stderr, "%s: no questions\n", path));
}

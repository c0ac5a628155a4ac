/* sink: text on its way to a writer, which is called for whole pieces of it. In the caller's memory: { .write = …, .arg = … }; what is put
 * is there when it was flushed. */
#pragma once
#include "base/str.h"

struct fl_sink {
	void (*write)(void *arg, const char *p, size_t n);
	void *arg;
	size_t n;
	char buf[4096];
};

void fl_sink_put(struct fl_sink *s, const char *p, size_t n);
void fl_sink_text(struct fl_sink *s, const char *z);
void fl_sink_flush(struct fl_sink *s);

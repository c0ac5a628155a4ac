#include "base/sink.h"

void fl_sink_flush(struct fl_sink *s)
{
	if (s->n)
		s->write(s->arg, s->buf, s->n);
	s->n = 0;
}

void fl_sink_put(struct fl_sink *s, const char *p, size_t n)
{
	while (n) {
		if (s->n == sizeof s->buf)
			fl_sink_flush(s);
		size_t part = sizeof s->buf - s->n < n ? sizeof s->buf - s->n : n;
		memcpy(s->buf + s->n, p, part);
		s->n += part;
		p += part;
		n -= part;
	}
}

void fl_sink_text(struct fl_sink *s, const char *z) { fl_sink_put(s, z, strlen(z)); }

/* summary: what matters of a text exposition (Prometheus 0.0.4), of this server or of CoreDNS, as numbers, and as JSON with rates between
 * two of them. The status page shows this JSON, and so does fairctl top. Pure; any thread.
 *
 * Series are added up over what is not shown (server, zone, view). Text from a stranger is fine: what cannot be read is passed over, what does
 * not fit in a table is left out. */
#pragma once
#include "base/str.h"

enum { FL_SUM_RCODES = 32, FL_SUM_PLUGINS = 64, FL_SUM_BUCKETS = 40, FL_SUM_UPSTREAMS = 64, FL_SUM_SOURCES = 8, FL_SUM_KINDS = 6, FL_SUM_TEXT = 128 };

struct fl_sum_row { char name[FL_SUM_TEXT]; double n; };
struct fl_sum_hist { unsigned n; struct { double le, count; } b[FL_SUM_BUCKETS]; double sum, count; };
struct fl_sum_upstream { char to[FL_SUM_TEXT]; double count, seconds, failures; };
struct fl_sum_source {
	char name[FL_SUM_TEXT];
	bool synced, connected;
	double age;                     /* seconds since the last event; -1: none yet */
	unsigned nkind;
	struct { char name[32]; double objects, version; } kind[FL_SUM_KINDS];
};
struct fl_summary {
	double queries, panics;
	unsigned nrcode, nplugin, nupstream, nsource;
	struct fl_sum_row rcode[FL_SUM_RCODES], plugin[FL_SUM_PLUGINS];
	struct fl_sum_hist took;
	bool has_cache;
	double entries, hits, misses;
	struct fl_sum_upstream upstream[FL_SUM_UPSTREAMS];
	struct fl_sum_source source[FL_SUM_SOURCES];
	double loaded_at, reload_ok, reload_failed;     /* -1: not told, here and below */
	double saturation, rss, started_at;
	char version[64];
};

/* The families that are read, for fl_metric_expose_named(). */
extern const struct fl_str fl_summary_families[];
extern const unsigned fl_summary_nfamilies;

void fl_summary_read(struct fl_summary *s, const char *text, size_t n);
/* The q'th quantile of what came between two (was NULL: of all), as Prometheus computes it; -1: nothing came. */
double fl_sum_quantile(const struct fl_sum_hist *was, const struct fl_sum_hist *now, double q);
/* Writes an object. was, seconds: rates are per second since then; was NULL: since the server started (seconds: 0 where that is unknown). */
void fl_summary_json(void (*write)(void *arg, const char *p, size_t n), void *arg, const struct fl_summary *was, const struct fl_summary *now,
		     double seconds);
/* "text", quoted; <, > and & as escapes too, so that it may stand anywhere. Bytes that are no UTF-8 become U+FFFD. */
void fl_json_text(void (*write)(void *arg, const char *p, size_t n), void *arg, struct fl_str s);

/* setup: what a plugin may ask for while a configuration is being built. Main thread.
 *
 * A generation is built whole before anything of it serves: every setup() in plugin order, for each block that names the directive;
 * then every link(); then every start(); then shard_start() on each shard; then the swap. An error before the swap frees all of it
 * and leaves the running generation untouched. setup() runs once per directive name and block, whatever number of keys the block has and
 * however often the directive stands in it: fl_setup_disp() walks the tokens of all of them. */
#pragma once
#include "base/metric.h"
#include "conf/conf.h"
#include "dns/zones.h"
#include "net/loop.h"

struct fl_said { bool said; uint32_t n; };      /* a number that an option may have given */
struct fl_setup;
struct fl_plugin;
struct fl_chain;
struct fl_reload;
struct fl_trace;
struct fl_tls_host;

/* ---- the directive ---- */

struct fl_disp *fl_setup_disp(struct fl_setup *s);
struct fl_arena *fl_setup_arena(struct fl_setup *s);    /* the generation's: freed with it */
const struct fl_zones *fl_setup_block_zones(struct fl_setup *s);        /* all keys of the block */
/* Zone arguments as CoreDNS takes them: CIDRs become reverse zones, what is no name is dropped; none: the block's zones. 0, -ENOMEM. */
int fl_setup_zones(struct fl_setup *s, const struct fl_str *arg, unsigned n, struct fl_zones *out);
int fl_setup_fall(struct fl_setup *s, const struct fl_str *arg, unsigned n, struct fl_fall *out);       /* arguments of `fallthrough` */
/* A path of the Corefile below the block's `root`; relative ones otherwise as they are. NUL-terminated, generation memory. */
const char *fl_setup_path(struct fl_setup *s, struct fl_str path);

/* ---- errors: each returns -EINVAL ---- */

int fl_setup_error(struct fl_setup *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));       /* "plugin/NAME: TEXT" */
/* "plugin/NAME: FILE:LINE - Error during parsing: TEXT", at the dispenser's token */
int fl_setup_parse_error(struct fl_setup *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
int fl_setup_arg_error(struct fl_setup *s);             /* … Wrong argument count or unexpected line ending after 'TOK' */
int fl_setup_syntax_error(struct fl_setup *s, const char *expected);    /* … Syntax error: Unexpected token 'TOK', expecting 'X' */
/* A directive's option that CoreDNS has and this version has not: names it, with file and line. */
int fl_setup_later(struct fl_setup *s, const char *option);
/* A directive that is nothing but limits of a listener (https, https3, grpc_server, quic): a block of numbers from least (0 or 1) on, each given once;
 * most 0: any. 0 or an error. */
struct fl_limit { const char *name; struct fl_said *to; uint32_t least, most; };
int fl_setup_limits(struct fl_setup *s, const struct fl_limit *l, unsigned n);
/* "plugin/NAME: this plugin can only be used once per Server Block" when it stands there twice; else 0. */
int fl_setup_once(struct fl_setup *s);

/* ---- the block and the process ---- */

/* Whether the generation serves: all shards have it, and the process has given away what it needs no longer. Main thread. */
const bool *fl_setup_serving(struct fl_setup *s);

/* What directives without a place in the chain say about their block. */
struct fl_block_conf {
	struct fl_str *bind; unsigned nbind;            /* addresses; none: all */
	const char *root;                               /* prefix of relative paths; NULL */
	struct fl_str view;                             /* label of metrics, n 0: none (view) */
	bool debug;
	bool other_classes;                             /* chaos, forward: the listener lets classes besides IN in */
	uint32_t opcodes;                               /* mask of opcodes besides QUERY and NOTIFY that a plugin answers */
	uint64_t read_ns, write_ns, idle_ns;            /* timeouts; 0: default */
	int32_t max_queries;                            /* of one TCP connection; -1: no limit, 0: nothing was said */
	struct fl_said https_conns, https_streams, grpc_conns, grpc_streams;    /* 0: no limit */
	struct fl_said quic_conns, quic_streams, quic_workers, https3_conns, https3_streams;
	struct fl_tls_host *tls;                        /* what encrypted listeners show; kept by the generation; NULL: no TLS */
};
struct fl_block_conf *fl_setup_block(struct fl_setup *s);
/* Tokens or environment a plugin may want from the command line. */
struct fl_process {
	const char *conf;               /* path of the Corefile as given; NULL: the built-in one */
	bool conf_given;                /* -conf was there */
	const char *port;               /* -dns.port */
	unsigned shards;
	bool dry;                       /* -check: set up, start nothing */
	const struct fl_trace *trace;   /* dns/explain.h: bind nothing, tell each plugin's verdict; NULL: serve */
	struct fl_reload *reload;       /* NULL under -check and in tests without one */
};
const struct fl_process *fl_setup_process(struct fl_setup *s);
struct fl_loop *fl_setup_loop(struct fl_setup *s);      /* the main thread's */

/* ---- others: from link() on ---- */

/* A table of functions that `plugin` of the same block offers through iface(); its instance in *inst. NULL: not there. */
const void *fl_setup_find(struct fl_setup *s, const char *plugin, const char *iface, void **inst);
/* Every plugin instance of the same block, in chain order. */
void fl_setup_each(struct fl_setup *s, void (*fn)(void *arg, const struct fl_plugin *p, void *inst), void *arg);

/* An object that outlives reloads (store, index, cache): the next generation that asks with an equal key gets the same one; freed with
 * the last generation that holds it. The key should begin with the plugin's name and name every setting that matters. create NULL:
 * only look. */
void *fl_setup_keep(struct fl_setup *s, struct fl_str key, void *(*create)(void *arg), void (*destroy)(void *obj), void *arg);

/* Puts p into the chain of every block of this configuration, above the directive `before`: p->query() is all that it may have, `inst` is
 * its instance (borrowed while the generation lives). Once however often it is said. From setup(). 0, -ENOMEM. */
int fl_setup_everywhere(struct fl_setup *s, const struct fl_plugin *p, void *inst, const char *before);

/* Calls on the main thread until the generation is stopped: every ns; when the file at path, or a link on the way to it, changed
 * (inotify on its folder: atomic replacement and ConfigMap swaps are seen). 0, -ENOMEM. They begin after start(). */
int fl_setup_every(struct fl_setup *s, uint64_t ns, void (*fn)(void *inst));
int fl_setup_watch(struct fl_setup *s, const char *path, void (*changed)(void *inst));

/* Once, on the main thread, when the generation begins to serve (see fl_setup_serving()), if it ever does. 0, -ENOMEM. */
int fl_setup_serves(struct fl_setup *s, void (*fn)(void *inst));

/* start() may not block. One that needs time (kubernetes: the first sync) says so here, from setup() or link(): the swap (at start-up: the
 * listening) waits until done(inst) is true or ns have passed; polled after every batch of the main loop. */
int fl_setup_wait(struct fl_setup *s, uint64_t ns, bool (*done)(void *inst), void (*given_up)(void *inst));

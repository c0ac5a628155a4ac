#include "pod/resolv.h"
#include "pod/words.h"

enum { FILE_MAX = 10 << 20 };

/* ---- the node's file ---- */

/* The name of an option: text before its first colon. */
static struct fl_str key(struct fl_str option)
{
	struct fl_str name;
	fl_str_cut(option, ':', &name);
	return name;
}

/* The last of a name wins, in the place of the first. */
static void set_option(struct fl_arena *a, struct fl_words *options, struct fl_str option)
{
	for (unsigned i = 0; i < options->n; i++)
		if (fl_str_eq(key(options->at[i]), key(option))) {
			options->at[i] = option;
			return;
		}
	fl_words_add(a, options, option);
}

static void search(struct fl_arena *a, struct fl_words *searches, struct fl_str rest)
{
	searches->n = 0;                /* the last line wins */
	for (struct fl_str w = fl_word(&rest); w.n; w = fl_word(&rest)) {
		if (fl_str_is(w, "."))
			continue;
		if (w.p[w.n - 1] == '.')
			w.n--;          /* one only: ".." becomes "." */
		fl_words_add(a, searches, w);
	}
}

int fl_resolv_parse(struct fl_arena *a, struct fl_str text, struct fl_resolv *r, int *line, struct fl_err *e)
{
	int ret = 0, number = 0;
	*r = (struct fl_resolv){ 0 };
	*line = 1;
	if (text.n > FILE_MAX)
		return fl_err_set(e, "Encountered error while parsing resolv conf file. Error: the read limit is reached");
	while (text.n) {
		struct fl_str rest, w;
		text = fl_str_cut(text, '\n', &rest);
		number++;
		struct fl_str first = fl_word(&rest);
		if (!first.n || *first.p == '#')
			continue;
		if (fl_str_is(first, "nameserver")) {
			w = fl_word(&rest);
			if (w.n) {
				fl_words_add(a, &r->servers, w);
			} else if (!ret) {
				*line = number;
				ret = fl_err_set(e, "Encountered error while parsing resolv conf file. Error: nameserver list is empty ");
			}
		} else if (fl_str_is(first, "search")) {
			search(a, &r->searches, rest);
		} else if (fl_str_is(first, "options")) {
			while ((w = fl_word(&rest)).n)
				set_option(a, &r->options, w);
		}
	}
	return ret;
}

/* ---- lists ---- */

static bool has(const struct fl_words *w, unsigned n, struct fl_str s)
{
	for (unsigned i = 0; i < n; i++)
		if (fl_str_eq(w->at[i], s))
			return true;
	return false;
}

/* Later ones of a kind go, in the whole list. */
static void omit_duplicates(struct fl_words *w)
{
	unsigned n = 0;
	for (unsigned i = 0; i < w->n; i++)
		if (!has(w, n, w->at[i]))
			w->at[n++] = w->at[i];
	w->n = n;
}

static void add_all(struct fl_arena *a, struct fl_words *to, const struct fl_words *from)
{
	for (unsigned i = 0; i < from->n; i++)
		fl_words_add(a, to, from->at[i]);
}

static size_t joined(const struct fl_words *w)
{
	size_t n = w->n ? w->n - 1 : 0;
	for (unsigned i = 0; i < w->n; i++)
		n += w->at[i].n;
	return n;
}

/* ---- limits ---- */

struct events { struct fl_arena *a; fl_pod_event *fn; void *arg; };

static void tell(struct events *ev, const char *reason, bool of_pod, const char *text, struct fl_str more)
{
	ev->fn(ev->arg, reason, of_pod, fl_arena_printf(ev->a, "%s%.*s", text, FL_FMT(more)));
}

static void limit_servers(struct events *ev, struct fl_words *w)
{
	if (w->n <= FL_POD_SERVERS)
		return;
	w->n = FL_POD_SERVERS;
	tell(ev, "DNSConfigForming", true, "Nameserver limits were exceeded, some nameservers have been omitted, the applied nameserver line is: ",
	     fl_words_join(ev->a, w, " "));
}

static void limit_searches(struct events *ev, struct fl_words *w)
{
	unsigned all = w->n, n = 0;
	if (w->n > FL_POD_SEARCHES)
		w->n = FL_POD_SEARCHES;
	for (unsigned i = 0; i < w->n; i++)
		if (w->at[i].n <= FL_POD_NAME_MAX)      /* glibc 2.28 aborts at longer ones */
			w->at[n++] = w->at[i];
	w->n = n;
	while (joined(w) > FL_POD_SEARCH_CHARS)
		w->n--;
	if (w->n != all)
		tell(ev, "DNSConfigForming", true, "Search Line limits were exceeded, some search paths have been omitted, the applied search line is: ",
		     fl_words_join(ev->a, w, " "));
}

void fl_resolv_limits(struct fl_arena *a, const struct fl_node_dns *node, struct fl_str path, fl_pod_event *event, void *arg)
{
	const struct fl_words *w = &node->host->searches;
	unsigned most = FL_POD_SEARCHES - (node->cluster_domain.n ? 3 : 0);
	struct fl_str text = { 0 };
	for (unsigned i = 0; i < w->n && w->n <= most && !text.n; i++)
		if (w->at[i].n > FL_POD_NAME_MAX)
			text = fl_arena_printf(a, "Resolv.conf file \"%.*s\" contains a search path which length is more than allowed %d chars!",
					       FL_FMT(path), FL_POD_NAME_MAX);
	if (w->n > most)
		text = fl_arena_printf(a, "Resolv.conf file '%.*s' contains search line consisting of more than %u domains!", FL_FMT(path), most);
	else if (!text.n && joined(w) > FL_POD_SEARCH_CHARS)
		text = fl_arena_printf(a, "Resolv.conf file '%.*s' contains search line which length is more than allowed %d chars!",
				       FL_FMT(path), FL_POD_SEARCH_CHARS);
	if (text.n)
		event(arg, "CheckLimitsForResolvConf", false, text);
}

/* ---- policies ---- */

enum type { CLUSTER, HOST, NONE };

static enum type type_of(const struct fl_pod_dns *pod)
{
	if (fl_str_is(pod->policy, "None"))
		return NONE;
	if (fl_str_is(pod->policy, "Default") || (fl_str_is(pod->policy, "ClusterFirst") && pod->host_network))
		return HOST;
	return CLUSTER;                 /* ClusterFirst, ClusterFirstWithHostNet, and whatever is no policy */
}

static void cluster(struct fl_arena *a, const struct fl_node_dns *node, const struct fl_pod_dns *pod, struct fl_resolv *out)
{
	struct fl_str d = node->cluster_domain;
	add_all(a, &out->servers, &node->cluster_dns);
	if (d.n) {
		fl_words_add(a, &out->searches, fl_arena_printf(a, "%.*s.svc.%.*s", FL_FMT(pod->ns), FL_FMT(d)));
		fl_words_add(a, &out->searches, fl_arena_printf(a, "svc.%.*s", FL_FMT(d)));
		fl_words_add(a, &out->searches, d);
	}
	if (node->host)
		add_all(a, &out->searches, &node->host->searches);
	if (d.n)
		omit_duplicates(&out->searches);
	fl_words_add(a, &out->options, FL_STR("ndots:5"));
}

static void host(struct fl_arena *a, const struct fl_node_dns *node, struct fl_resolv *out)
{
	if (node->host) {
		add_all(a, &out->servers, &node->host->servers);
		add_all(a, &out->searches, &node->host->searches);
		add_all(a, &out->options, &node->host->options);
		return;
	}
	/* No file: what a resolver does without a name server is to ask this machine. */
	for (unsigned i = 0; i < node->node_ips.n; i++)
		fl_words_add(a, &out->servers, memchr(node->node_ips.at[i].p, ':', node->node_ips.at[i].n) ? FL_STR("::1") : FL_STR("127.0.0.1"));
	if (!out->servers.n)
		fl_words_add(a, &out->servers, FL_STR("127.0.0.1"));
	fl_words_add(a, &out->searches, FL_STR("."));
}

static void merge(struct fl_arena *a, const struct fl_pod_dns *pod, struct fl_resolv *out)
{
	add_all(a, &out->servers, &pod->servers);
	omit_duplicates(&out->servers);
	add_all(a, &out->searches, &pod->searches);
	omit_duplicates(&out->searches);
	struct fl_words names = { 0 };
	for (unsigned i = 0; i < out->options.n; i++) {
		struct fl_str *o = &out->options.at[i], name = key(*o);
		fl_words_add(a, &names, name);
		o->n -= name.n + 1 == o->n;     /* "x:" has no value: it loses its colon here */
	}
	for (unsigned i = 0; i < pod->noption; i++) {
		const struct fl_pod_option *o = &pod->option[i];
		struct fl_str text = o->value.n ? fl_arena_printf(a, "%.*s:%.*s", FL_FMT(o->name), FL_FMT(o->value)) : o->name;
		unsigned k = 0;
		while (k < names.n && !fl_str_eq(names.at[k], o->name))
			k++;
		if (k < names.n) {
			out->options.at[k] = text;
			continue;
		}
		fl_words_add(a, &names, o->name);
		fl_words_add(a, &out->options, text);
	}
}

static void missing(struct events *ev, const struct fl_pod_dns *pod)
{
	static const char text[] = "kubelet does not have ClusterDNS IP configured and cannot create Pod using \"ClusterFirst\" policy. "
				   "Falling back to \"Default\" policy.";
	tell(ev, "MissingClusterDNS", false, "", fl_str(text));
	ev->fn(ev->arg, "MissingClusterDNS", true,
	       fl_arena_printf(ev->a, "pod: \"%.*s_%.*s(%.*s)\". %s", FL_FMT(pod->name), FL_FMT(pod->ns), FL_FMT(pod->uid), text));
}

void fl_pod_resolv(struct fl_arena *a, const struct fl_node_dns *node, const struct fl_pod_dns *pod, struct fl_resolv *out,
		   fl_pod_event *event, void *arg)
{
	struct events ev = { a, event, arg };
	enum type type = type_of(pod);
	*out = (struct fl_resolv){ 0 };
	if (type == CLUSTER && node->cluster_dns.n) {
		cluster(a, node, pod, out);
	} else if (type != NONE) {
		if (type == CLUSTER)
			missing(&ev, pod);
		host(a, node, out);
	}
	if (pod->config)
		merge(a, pod, out);
	limit_servers(&ev, &out->servers);
	limit_searches(&ev, &out->searches);
}

struct fl_str fl_resolv_text(struct fl_arena *a, const struct fl_resolv *r)
{
	struct fl_words part = { 0 };   /* no printf: foreign text may have a NUL */
	if (r->searches.n) {
		fl_words_add(a, &part, FL_STR("search "));
		fl_words_add(a, &part, fl_words_join(a, &r->searches, " "));
		fl_words_add(a, &part, FL_STR("\n"));
	}
	for (unsigned i = 0; i < r->servers.n; i++) {
		fl_words_add(a, &part, FL_STR("nameserver "));
		fl_words_add(a, &part, r->servers.at[i]);
		fl_words_add(a, &part, FL_STR("\n"));
	}
	if (r->options.n) {
		fl_words_add(a, &part, FL_STR("options "));
		fl_words_add(a, &part, fl_words_join(a, &r->options, " "));
		fl_words_add(a, &part, FL_STR("\n"));
	}
	return fl_words_join(a, &part, "");
}

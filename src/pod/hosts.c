#include "pod/hosts.h"

enum { HOSTNAME_MAX = 63, FQDN_MAX = 64 };

#define LABEL "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
static const char label_words[] =
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric "
    "character (e.g. 'my-name',  or '123-abc', regex used for validation is '" LABEL "')";
static const char subdomain_words[] =
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an "
    "alphanumeric character (e.g. 'example.com', regex used for validation is '" LABEL "(\\." LABEL ")*')";

static bool alnum(char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); }

static bool is_label(struct fl_str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (!alnum(s.p[i]) && (s.p[i] != '-' || !i || i == s.n - 1))
			return false;
	return s.n > 0;
}

static bool is_subdomain(struct fl_str s)
{
	bool more = true;
	while (more) {
		struct fl_str part;
		more = memchr(s.p, '.', s.n) != NULL;
		s = fl_str_cut(s, '.', &part);
		if (!is_label(part))
			return false;
	}
	return true;
}

/* 0, or what is wrong with it, as kubelet joins it. */
static int check(struct fl_str s, bool label, const char *what, struct fl_err *e)
{
	size_t most = label ? 63 : FL_POD_NAME_MAX;
	bool too_long = s.n > most, bad = label ? !is_label(s) : !is_subdomain(s);
	if (!too_long && !bad)
		return 0;
	char length[64] = "";
	if (too_long)
		fl_err_set(e, "must be no more than %zu bytes%s", most, bad ? ";" : "");
	struct fl_str first = { length, 0 };
	if (too_long) {
		first.n = strlen(e->msg);
		memcpy(length, e->msg, first.n);
	}
	return fl_err_set(e, "pod %s \"%.*s\" is not a valid DNS %s: %.*s%s", what, FL_FMT(s), label ? "label" : "subdomain", FL_FMT(first),
			  bad ? label ? label_words : subdomain_words : "");
}

/* 63 bytes, and no '-' or '.' at the end of what was cut. */
static int truncate_name(struct fl_str pod, struct fl_str *name, struct fl_err *e)
{
	if (name->n <= HOSTNAME_MAX)
		return 0;
	struct fl_str all = *name;
	name->n = HOSTNAME_MAX;
	while (name->n && (name->p[name->n - 1] == '-' || name->p[name->n - 1] == '.'))
		name->n--;
	return name->n ? 0 : fl_err_set(e, "hostname for pod \"%.*s\" was invalid: \"%.*s\"", FL_FMT(pod), FL_FMT(all));
}

int fl_pod_name(struct fl_arena *a, const struct fl_pod_hosts *pod, struct fl_str cluster_domain, struct fl_pod_name *to, struct fl_err *e)
{
	*to = (struct fl_pod_name){ .host = pod->name };
	int ret = 0;
	if (pod->overridden) {
		to->host = pod->override;
		ret = check(to->host, false, "HostnameOverride", e);
	} else if (pod->hostname.n) {
		to->host = pod->hostname;
		ret = check(to->host, true, "Hostname", e);
	}
	if (!ret)
		ret = truncate_name(pod->name, &to->host, e);
	if (!ret && pod->subdomain.n && !pod->overridden) {
		ret = check(pod->subdomain, true, "Subdomain", e);
		to->domain = fl_arena_printf(a, "%.*s.%.*s.svc.%.*s", FL_FMT(pod->subdomain), FL_FMT(pod->ns), FL_FMT(cluster_domain));
	}
	to->kernel = to->host;
	if (ret || !to->domain.n || !pod->fqdn)
		return ret;
	to->kernel = fl_arena_printf(a, "%.*s.%.*s", FL_FMT(to->host), FL_FMT(to->domain));
	if (to->kernel.n <= FQDN_MAX)
		return 0;
	return fl_err_set(e, "failed to construct FQDN from pod hostname and cluster domain, FQDN %.*s is too long (%d characters is the max, "
			  "%zu characters requested)", FL_FMT(to->kernel), FQDN_MAX, to->kernel.n);
}

static void aliases(struct fl_arena *a, struct fl_words *part, const struct fl_pod_hosts *pod)
{
	if (pod->nalias)
		fl_words_add(a, part, FL_STR("\n# Entries added by HostAliases.\n"));
	for (unsigned i = 0; i < pod->nalias; i++)
		fl_words_add(a, part, fl_arena_printf(a, "%.*s\t%s\n", FL_FMT(pod->alias[i].ip), fl_words_join(a, &pod->alias[i].names, "\t").p));
}

struct fl_str fl_pod_hosts_text(struct fl_arena *a, const struct fl_pod_hosts *pod, const struct fl_pod_name *name, struct fl_str node)
{
	struct fl_words part = { 0 };
	if (pod->host_network) {
		fl_words_add(a, &part, FL_STR("# Kubernetes-managed hosts file (host network).\n"));
		fl_words_add(a, &part, node);
	} else {
		fl_words_add(a, &part, FL_STR("# Kubernetes-managed hosts file.\n"
					      "127.0.0.1\tlocalhost\n"
					      "::1\tlocalhost ip6-localhost ip6-loopback\n"
					      "fe00::0\tip6-localnet\n"
					      "fe00::0\tip6-mcastprefix\n"
					      "fe00::1\tip6-allnodes\n"
					      "fe00::2\tip6-allrouters\n"));
		for (unsigned i = 0; i < pod->ips.n; i++)
			fl_words_add(a, &part, name->domain.n
				? fl_arena_printf(a, "%.*s\t%.*s.%.*s\t%.*s\n", FL_FMT(pod->ips.at[i]), FL_FMT(name->host), FL_FMT(name->domain), FL_FMT(name->host))
				: fl_arena_printf(a, "%.*s\t%.*s\n", FL_FMT(pod->ips.at[i]), FL_FMT(name->host)));
	}
	aliases(a, &part, pod);
	return fl_words_join(a, &part, "");
}

/* dns-server-list, dns-suffix, etc-hosts: what a container sees of its resolver, as agnhost prints it (test/images/agnhost/dns), its
 * oddities too: the first line of a kind only, and one text for both panics. */
#include "cmd/fairctl/commands.h"
#include "cmd/fairctl/gonet.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static const struct ctl_flag resolv_flags[] = {
	{ "resolv-conf", "FILE", "another file than the container's own", "@file", "/etc/resolv.conf" },
	{ NULL },
};
static const struct ctl_flag hosts_flags[] = {
	{ "file", "FILE", "another file than the container's own", "@file", "/etc/hosts" },
	{ NULL },
};

/* Go's end of a panic without the stack, which names no file of ours. */
static int panics(const char *text)
{
	fprintf(stderr, "panic: %s\n", text);
	return 2;
}

/* The file's text; agnhost panics with the error. 0, or the status. */
static int read_file(const struct ctl *c, const char *path, struct fl_str *text)
{
	if (!c->agnhost || !access(path, R_OK))
		return ctl_read(c, path, text) ? (c->agnhost ? 2 : 1) : 0;
	char words[512];
	snprintf(words, sizeof words, "open %.400s: %s", path, go_errno(errno));
	return panics(words);
}

/* What stands behind the first word of the first line that begins with word; single blanks part. */
static int first_line(const struct ctl *c, struct fl_arena *a, const char *word, struct fl_str *rest)
{
	struct fl_str text, line;
	const char *path = ctl_text(c, "resolv-conf");
	int ret = read_file(c, path, &text);
	if (ret)
		return ret;
	text = ctl_keep(a, text);
	do {
		bool last = !memchr(text.p, '\n', text.n);
		text = fl_str_cut(text, '\n', &line);
		if (fl_str_starts(line, fl_str(word))) {
			*rest = fl_str_cut(line, ' ', &(struct fl_str){ 0 });
			return 0;
		}
		if (last)
			break;
	} while (true);
	return c->agnhost ? panics("Could not find DNS search list!") : ctl_fail(c, "%s has no line that begins with %s", path, word);
}

static int list(struct ctl *c, const char *word, const char *key)
{
	struct fl_arena a = { .limit = 128 << 20 };
	struct fl_str rest, one;
	int ret = first_line(c, &a, word, &rest);
	if (ret) {
		fl_arena_finish(&a);
		return ret;
	}
	cJSON *json = cJSON_CreateObject(), *array = cJSON_AddArrayToObject(json, key);
	for (const char *comma = "";; comma = ",") {
		bool last = !memchr(rest.p, ' ', rest.n);
		if (!rest.n && !*comma)
			break;                  /* nothing behind the word */
		rest = fl_str_cut(rest, ' ', &one);
		if (c->json)
			cJSON_AddItemToArray(array, ctl_json_str(one));
		else
			printf("%s%.*s", comma, FL_FMT(one));
		if (last)
			break;
	}
	fl_arena_finish(&a);
	if (c->json)
		return ctl_print(c, json);
	cJSON_Delete(json);
	putchar('\n');
	return 0;
}

static int servers(struct ctl *c) { return list(c, "nameserver", "servers"); }
static int suffix(struct ctl *c) { return list(c, "search", "searches"); }

static int hosts(struct ctl *c)
{
	struct fl_str text;
	const char *path = ctl_text(c, "file");
	int ret = read_file(c, path, &text);
	if (ret)
		return ret;
	if (c->json) {
		cJSON *json = cJSON_CreateObject();
		cJSON_AddItemToObject(json, "hosts", ctl_json_str(text));
		free((char *)(uintptr_t)text.p);
		return ctl_print(c, json);
	}
	fwrite(text.p, 1, text.n, stdout);
	putchar('\n');
	free((char *)(uintptr_t)text.p);
	return 0;
}

const struct ctl_command ctl_dns_server_list = {
	.name = "dns-server-list", .about = "Prints the host's DNS Server list", .flag = resolv_flags, .json = true, .agnhost = true,
	.main = servers,
};
const struct ctl_command ctl_dns_suffix = {
	.name = "dns-suffix", .about = "Prints the host's DNS suffix list", .flag = resolv_flags, .json = true, .agnhost = true,
	.main = suffix,
};
const struct ctl_command ctl_etc_hosts = {
	.name = "etc-hosts", .about = "Prints the host's /etc/hosts file", .flag = hosts_flags, .json = true, .agnhost = true, .main = hosts,
};

/* The words of a directive from a stranger: the whole set-up of a server block that holds it, as `fairlead -check` does it. The first octet
 * picks the directive; whatever is refused is refused with words, and nothing of a built configuration is left behind. */
#include <stdlib.h>
#include "base/log.h"
#include "plugin/table.h"

/* Those that read a small language, and neither files nor addresses. */
static const char *const directive[] = { "rewrite", "template IN A test", "template ANY ANY", "log", "errors", "acl", "header", "view v", "cache", "dns64",
	"erratic", "chaos", "timeouts", "transfer", "metadata", "any", "local", "nsid", "bufsize", "minimal", "cancel", "loadbalance round_robin",
	"multisocket" };

/* What would leave the block, or read files. */
static bool tame(struct fl_str s)
{
	static const char *const wild[] = { "import", "hosts", "forward", "kubernetes", "weighted", "reload", "bind", "health", "ready", "prometheus", "root", "{$",
		"{%" };
	for (unsigned i = 0; i < FL_COUNT(wild); i++)
		if (memmem(s.p, s.n, wild[i], strlen(wild[i])))
			return false;
	return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static struct fl_server *server;
	static struct fl_loop *loop;
	struct fl_str words = { (const char *)data + 1, n - 1 };
	if (!n || n > 4096 || !tame(words))
		return 0;
	if (!server) {
		struct fl_process p = { .conf = "Corefile", .port = "53", .shards = 1, .dry = true };
		fl_metric_slots(2);
		loop = fl_loop_create();
		server = fl_server_create(&p, loop, fl_plugins, true);
		fl_assert(server);
	}
	struct fl_arena a;
	struct fl_err e = { "" };
	struct fl_conf *c = calloc(1, sizeof *c);
	fl_arena_init(&a, NULL, 0, NULL, 1 << 20);
	struct fl_str text = fl_arena_printf(&a, ".:53 {\n%s %.*s\n}\n", directive[data[0] % FL_COUNT(directive)], FL_FMT(words));
	if (fl_conf_parse(c, "Corefile", text, "/nonexistent", fl_plugins_known(), &e)) {
		fl_assert(e.msg[0]);
		fl_conf_finish(c);
		free(c);
	} else if (fl_server_check(server, c, &e)) {
		fl_assert(e.msg[0]);
	}
	fl_arena_finish(&a);
	return 0;
}

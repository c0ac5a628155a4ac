/* commands: the table of fairctl's commands, in the order of its help. A new one: its file, a line here, its manual page. */
#pragma once
#include "cmd/fairctl/ctl.h"

#define CTL_COMMANDS(X) \
	X(agnhost) \
	X(query) \
	X(explain) \
	X(check) \
	X(diff) \
	X(bench) \
	X(nslookup) \
	X(top) \
	X(resolvconf) \
	X(hosts) \
	X(translate) \
	X(dns_server_list) \
	X(dns_suffix) \
	X(etc_hosts) \
	X(connect) \
	X(netexec) \
	X(serve_hostname) \
	X(pause) \
	X(sleep) \
	X(completion)

#define CTL_DECLARE(name) extern const struct ctl_command ctl_##name;
CTL_COMMANDS(CTL_DECLARE)
#undef CTL_DECLARE

extern const struct ctl_command *const ctl_commands[];          /* NULL ends */
const struct ctl_command *ctl_find(const char *name, bool agnhost);
/* Runs one with the arguments behind its name; the status of the program. */
int ctl_run(const struct ctl_command *cmd, const char *program, bool agnhost, int argc, char **argv);

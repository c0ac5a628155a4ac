/* flags: CoreDNS's command line, read as Go's flag package reads it: -x V, -x=V, --x V. */
#pragma once
#include <stdbool.h>

struct fl_flags {
	const char *conf;               /* "Corefile" when it was not given */
	bool conf_given;
	const char *port, *pidfile, *log_format;
	bool plugins, quiet, version, check;
};

/* -1: go on; else the exit status (help 0, a wrong flag 2, extra arguments 1), after saying why on standard error. */
int fl_flags_parse(struct fl_flags *f, int argc, char **argv);

/* Web configuration files: any bytes; what they come to holds together, and says the same twice. */
#include "ctl/webconf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fl_webconf c, again;
	struct fl_err e, e2;
	struct fl_str text = { (const char *)data, size };
	int ret = fl_webconf_parse(&c, text, "/nowhere/web.yml", &e);
	fl_assert(ret == fl_webconf_parse(&again, text, "/nowhere/web.yml", &e2));
	fl_assert(!ret || (e.msg[0] && !strcmp(e.msg, e2.msg)));
	if (!ret) {
		char priority[FL_TLS_PRIORITY];
		fl_webconf_check_users(&c, &e);
		fl_assert(c.policy.ncurves <= FL_TLS_CURVES && (!c.policy.min || (c.policy.min >= 10 && c.policy.min <= 13)));
		for (int when = FL_TLS_ANY; when <= FL_TLS_FROM_13; when++)
			for (int rsa = 0; rsa < 2; rsa++)
				if (fl_tls_priority(priority, &c.policy, rsa, (enum fl_tls_when)when))
					fl_assert(strlen(priority) < sizeof priority - 1);
		for (unsigned i = 0; i < c.headers.n; i++)
			fl_assert(!strchr(c.headers.at[i].value, '\n'));
		fl_assert(!c.cert_file || c.cert_file[0] == '/');
	}
	fl_webconf_finish(&c);
	fl_webconf_finish(&again);
	return 0;
}

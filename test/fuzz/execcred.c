/* What a credential plugin prints. */
#include "kube/exec.h"
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct fl_exec_cred c;
	struct fl_err e = { "" };
	char *text = malloc(n + 1);             /* its very end: a reader beyond it is caught */
	memcpy(text, data, n);
	int ret = fl_exec_cred_parse(&c, text, n, "client.authentication.k8s.io/v1", &e);
	if (ret ? !e.msg[0] || c.token || c.cert || c.key : !c.token && !(c.cert && c.key))
		__builtin_trap();
	fl_exec_cred_finish(&c);
	free(text);
	return 0;
}

/* The head with which an HTTP proxy answers CONNECT: what becomes of its words is printable. */
#include <stdlib.h>
#include "net/http1.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char why[160], *head = malloc(size + 1);
	memcpy(head, data, size);
	if (!fl_http_tunnel((struct fl_str){ head, size }, why, sizeof why))
		for (const char *p = why; *p; p++)
			if (*p < ' ' || *p > '~')
				abort();
	free(head);
	return 0;
}

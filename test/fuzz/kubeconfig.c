/* kubeconfig files. */
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>
#include "kube/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char path[64];
	int fd = memfd_create("kubeconfig", 0);
	if (fd < 0 || write(fd, data, size) != (ssize_t)size)
		return 0;
	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	struct fl_kube_config k = { .mem.limit = 4 << 20, .tls_name = "" };
	struct fl_err e;
	if (!fl_kube_config_file(&k, path, FL_STR(""), &e) && (!k.host || !k.base || !k.prefix || !k.authority))
		__builtin_trap();
	fl_kube_config_finish(&k);
	close(fd);
	return 0;
}

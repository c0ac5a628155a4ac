#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/confine.h"

/* Runs body in a process of its own: what it gives away does not come back. 77: skipped there. */
static void in_child(void (*body)(void))
{
	fflush(NULL);
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		body();
		_exit(0);
	}
	int status;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	bool skipped = WIFEXITED(status) && WEXITSTATUS(status) == 77;
	if (skipped)            /* cmocka's skip() writes "not ok # SKIP", which meson counts as a failure */
		print_message("# skipped: there is no filter in this build or on this machine\n");
	assert_true(skipped || !status);
}

/* No cmocka in a child: it says where and goes. */
#define MUST(x) ((x) ? (void)0 : (dprintf(2, "%s:%d: %s (errno %d)\n", __FILE__, __LINE__, #x, errno), _exit(1)))

static uint64_t permitted(void)
{
	struct __user_cap_header_struct head = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct data[2];
	MUST(!syscall(SYS_capget, &head, data));
	return data[0].permitted | (uint64_t)data[1].permitted << 32;
}

static void *in_thread(void *arg)
{
	fl_confine_thread();
	*(uint64_t *)arg = permitted();
	return NULL;
}

static void capabilities(void)
{
	const uint64_t serving = 1ull << CAP_NET_BIND_SERVICE | 1ull << CAP_DAC_READ_SEARCH, starting = serving | 1ull << CAP_NET_ADMIN;
	uint64_t had = permitted(), thread = 1;
	fl_confine_start();
	MUST(permitted() == (had & starting));
	MUST(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1);
	if (had & 1ull << CAP_SETPCAP)
		MUST(prctl(PR_CAPBSET_READ, CAP_SYS_ADMIN, 0, 0, 0) == 0 && prctl(PR_CAPBSET_READ, CAP_NET_BIND_SERVICE, 0, 0, 0) == 1);
	pthread_t t;
	MUST(!pthread_create(&t, NULL, in_thread, &thread) && !pthread_join(t, NULL) && !thread);
	MUST(permitted() == (had & starting));
	fl_confine_serve();
	MUST(permitted() == (had & serving));
}

static bool refused(long ret) { return ret == -1 && errno == EPERM; }

static pthread_barrier_t begin;
static bool other_refused;

static void *other(void *arg)
{
	pthread_barrier_wait(&begin);
	pthread_barrier_wait(&begin);
	other_refused = refused(syscall(SYS_unshare, 0));
	return arg;
}

static void *nothing(void *arg) { return arg; }

static void filter(void)
{
	pthread_t t, u;
	fl_confine_start();
	pthread_barrier_init(&begin, NULL, 2);
	MUST(!pthread_create(&t, NULL, other, NULL));
	pthread_barrier_wait(&begin);
	int ret = fl_confine_serve();
	if (ret == -ENOTSUP || ret == -EINVAL || ret == -ENOSYS)
		_exit(77);
	MUST(!ret);
	MUST(fl_confine_programs() == -EPERM);
	pthread_barrier_wait(&begin);
	MUST(!pthread_join(t, NULL) && other_refused);          /* threads that were there before */
	/* what it does not need */
	MUST(refused(execl("/bin/true", "true", (char *)NULL)));
	MUST(refused(fork()));
	MUST(refused(ptrace(PTRACE_TRACEME, 0, NULL, NULL)));
	MUST(refused(unshare(CLONE_NEWUSER)));
	MUST(refused(socket(AF_PACKET, SOCK_DGRAM, 0)));
	MUST(refused(syscall(SYS_bpf, 0, NULL, 0)));
	MUST(refused(syscall(SYS_mount, "none", "/tmp", "tmpfs", 0, NULL)));
	MUST(refused(syscall(SYS_kill, getppid(), 0)));
	MUST(refused(prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)));
	MUST(mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED);
	/* what it does */
	void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	MUST(page != MAP_FAILED && refused(mprotect(page, 4096, PROT_READ | PROT_WRITE | PROT_EXEC)) && !munmap(page, 4096));
	MUST(!pthread_create(&u, NULL, nothing, NULL) && !pthread_join(u, NULL));
	static const int families[] = { AF_INET, AF_INET6, AF_UNIX, AF_NETLINK };
	for (unsigned i = 0; i < sizeof families / sizeof *families; i++) {
		int fd = socket(families[i], SOCK_DGRAM | SOCK_CLOEXEC, 0);
		MUST((fd >= 0 || errno == EAFNOSUPPORT) && (fd < 0 || !close(fd)));
	}
	int fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
	MUST(fd >= 0 && write(fd, "x", 1) == 1 && !close(fd));
	void *memory = malloc(1 << 24);
	MUST(memory);
	free(memory);
	MUST(!prctl(PR_SET_NAME, "confined", 0, 0, 0));
}

static void with_programs(void)
{
	fl_confine_start();
	MUST(!fl_confine_programs() && fl_confine_serve() == -EPERM);
	int status;
	pid_t pid = fork();
	MUST(pid >= 0);
	if (!pid)
		_exit(execl("/bin/true", "true", (char *)NULL) ? 1 : 0);
	MUST(waitpid(pid, &status, 0) == pid && !status);
}

static void test_capabilities(void **state) { (void)state; in_child(capabilities); }
static void test_filter(void **state) { (void)state; in_child(filter); }
static void test_programs(void **state) { (void)state; in_child(with_programs); }

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_capabilities), cmocka_unit_test(test_filter), cmocka_unit_test(test_programs) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}

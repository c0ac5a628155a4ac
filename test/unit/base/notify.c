#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/notify.h"

/* fl_notify looks at the environment once a process: each try is one of its own. */
static void tell(const char *socket, const char *state)
{
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		if (socket)
			setenv("NOTIFY_SOCKET", socket, 1);
		else
			unsetenv("NOTIFY_SOCKET");
		fl_notify("%s", state);
		fl_notify("STATUS=%d", 7);
		_exit(0);
	}
	int status;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status) && !WEXITSTATUS(status));
}

static void hears(int fd, const char *want)
{
	char text[2048];
	ssize_t n = recv(fd, text, sizeof text - 1, MSG_DONTWAIT);
	assert_true(n >= 0);
	text[n] = 0;
	assert_string_equal(text, want);
}

static void test_path(void **state)
{
	(void)state;
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	char dir[] = "/tmp/fairlead-notify-XXXXXX", long_state[1500];
	assert_non_null(mkdtemp(dir));
	snprintf(at.sun_path, sizeof at.sun_path, "%s/s", dir);
	int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof at), 0);
	tell(at.sun_path, "READY=1");
	hears(fd, "READY=1");
	hears(fd, "STATUS=7");
	memset(long_state, 'x', sizeof long_state - 1);         /* cut, not lost */
	long_state[sizeof long_state - 1] = 0;
	tell(at.sun_path, long_state);
	long_state[1023] = 0;
	hears(fd, long_state);
	close(fd);
	tell(at.sun_path, "nobody listens");
	unlink(at.sun_path);
	rmdir(dir);
}

static void test_abstract(void **state)
{
	(void)state;
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	int n = snprintf(at.sun_path, sizeof at.sun_path, "@fairlead-test-%d", getpid());
	char name[sizeof at.sun_path];
	memcpy(name, at.sun_path, (size_t)n + 1);
	at.sun_path[0] = 0;
	int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&at, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + (size_t)n)), 0);
	tell(name, "READY=1");
	hears(fd, "READY=1");
	close(fd);
}

static void test_nobody(void **state)
{
	(void)state;
	char name[300];
	memset(name, '/', sizeof name - 1);
	name[sizeof name - 1] = 0;
	const char *const odd[] = { NULL, "", "@", "/", "relative", "vsock:2:1", "/nonexistent/socket", name };
	for (size_t i = 0; i < sizeof odd / sizeof *odd; i++)
		tell(odd[i], "READY=1");
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_path), cmocka_unit_test(test_abstract), cmocka_unit_test(test_nobody) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* pause: waits for a signal, and leaves word of it (test/images/agnhost/pause). */
#include "cmd/fairctl/commands.h"
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static int run(struct ctl *c)
{
	(void)c;
	sigset_t set;
	int sig = 0;
	puts("Paused");
	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, NULL);
	puts("Signals registered");
	fflush(stdout);
	sigwait(&set, &sig);
	char text[64];
	snprintf(text, sizeof text, "exiting because of signal \"%s\"\n", sig == SIGINT ? "interrupt" : "terminated");
	const char *path = getenv("TERMINATION_MESSAGE_PATH");
	int fd = open(path && *path ? path : "/dev/termination-log", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (fd >= 0) {
		if (write(fd, text, strlen(text)) < 0)
			fprintf(stderr, "the termination message was not written\n");
		close(fd);
	}
	fputs(text, stdout);
	return sig == SIGINT ? 1 : 2;
}

const struct ctl_command ctl_pause = {
	.name = "pause", .about = "Pauses the execution", .serves = true, .agnhost = true, .main = run,
};

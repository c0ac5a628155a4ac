/* netexec's endpoints that run what they are sent, and write files. */
#include "cmd/fairctl/netexec.h"
#include "base/mem.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static void print_result(struct http_request *r, const char *error, struct fl_str output)
{
	fputc('{', r->out);
	if (*error) {
		fputs("\"error\":", r->out);
		go_json(r->out, fl_str(error));
	}
	if (output.n) {
		fputs(*error ? ",\"output\":" : "\"output\":", r->out);
		go_json(r->out, output);
	}
	fputc('}', r->out);
}

/* All that the command prints, and "" or why it failed. */
static char *command(char *cmd, size_t *n, char error[128])
{
	enum { OUTPUT_MAX = 64 << 20 };
	int p[2], status;
	pid_t pid;
	char *text = fl_xalloc(1);
	posix_spawn_file_actions_t io;
	*n = 0;
	if (pipe2(p, O_CLOEXEC)) {
		snprintf(error, 128, "pipe: %s", go_errno(errno));
		return text;
	}
	posix_spawn_file_actions_init(&io);
	posix_spawn_file_actions_addopen(&io, 0, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_adddup2(&io, p[1], 1);
	posix_spawn_file_actions_adddup2(&io, p[1], 2);
	sigset_t none;
	posix_spawnattr_t attr;
	sigemptyset(&none);
	posix_spawnattr_init(&attr);
	posix_spawnattr_setsigmask(&attr, &none);
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK);
	int ret = posix_spawn(&pid, "/bin/sh", &io, &attr, (char *[]){ "/bin/sh", "-c", cmd, NULL }, environ);
	posix_spawnattr_destroy(&attr);
	posix_spawn_file_actions_destroy(&io);
	close(p[1]);
	for (ssize_t got; !ret;) {
		text = fl_xrealloc(text, *n + 65537);
		got = read(p[0], text + *n, 65536);
		if (got <= 0 && !(got < 0 && errno == EINTR))
			break;
		*n += got > 0 && *n < OUTPUT_MAX ? (size_t)got : 0;
	}
	close(p[0]);
	*error = 0;
	if (ret)
		snprintf(error, 128, "fork/exec /bin/sh: %s", go_errno(ret));
	else if (waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status))
		snprintf(error, 128, "exit status %d", WEXITSTATUS(status));
	else if (!ret && WIFSIGNALED(status))
		snprintf(error, 128, "signal: %s", WTERMSIG(status) == SIGKILL ? "killed" : WTERMSIG(status) == SIGTERM ? "terminated" : strsignal(WTERMSIG(status)));
	return text;
}

void netexec_shell(struct http_request *r)
{
	char *cmd = http_form(r, "shellCommand"), error[128];
	size_t n;
	if (!*cmd) {
		free(cmd);
		cmd = http_form(r, "cmd");
	}
	go_log("GET /shell?cmd=%s", cmd);
	char *text = command(cmd, &n, error);
	print_result(r, error, (struct fl_str){ text, n });
	free(text);
	free(cmd);
}

/* The content of the part named "file" of a multipart form; false: there is none. */
static bool form_file(const struct http_request *r, struct fl_str *file)
{
	struct fl_str type = http_field(r, "Content-Type"), rest = r->body;
	const char *mark = type.n ? memmem(type.p, type.n, "boundary=", 9) : NULL;
	if (!mark)
		return false;
	struct fl_str b = { mark + 9, type.n - (size_t)(mark + 9 - type.p) };
	fl_str_cut(b, ';', &b);
	if (b.n > 2 && b.p[0] == '"')
		b = (struct fl_str){ b.p + 1, b.n - 2 };
	char line[80];
	int n = snprintf(line, sizeof line, "--%.*s", (int)(b.n < 72 ? b.n : 72), b.p);
	for (;;) {
		char *at = rest.n ? memmem(rest.p, rest.n, line, (size_t)n) : NULL;
		if (!at)
			return false;
		rest = (struct fl_str){ at + n, rest.n - (size_t)(at + n - rest.p) };
		char *body = memmem(rest.p, rest.n, "\r\n\r\n", 4), *end = body ? memmem(body, rest.n - (size_t)(body - rest.p), line, (size_t)n) : NULL;
		if (!end)
			return false;
		struct fl_str head = { rest.p, (size_t)(body - rest.p) };
		if (memmem(head.p, head.n, "name=\"file\"", 11) && memmem(head.p, head.n, "filename=", 9)) {
			*file = (struct fl_str){ body + 4, (size_t)(end - body) - 6 };
			return end >= body + 6;
		}
	}
}

void netexec_upload(struct http_request *r)
{
	struct fl_str file;
	char path[] = "/uploads/uploadXXXXXX";
	go_log("GET /upload");
	if (!form_file(r, &file))
		return print_result(r, "Unable to upload file.", FL_STR(""));
	int fd = mkostemp(path, O_CLOEXEC);
	if (fd < 0)
		return print_result(r, "Unable to open file for write", FL_STR(""));
	bool ok = true;
	while (file.n && ok) {
		ssize_t n = write(fd, file.p, file.n);
		ok = n > 0;
		file = (struct fl_str){ file.p + (ok ? n : 0), file.n - (ok ? (size_t)n : 0) };
	}
	ok = ok && !fchmod(fd, 0700);
	close(fd);
	if (!ok)
		return print_result(r, "Unable to write file.", FL_STR(""));
	go_log("Wrote upload to %s", path);
	r->status = 201;
	print_result(r, "", fl_str(path));
}

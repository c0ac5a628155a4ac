/* The HTTP server of fairctl's test endpoints, as a client sees it: what comes on its socket, answered by a handler that reads all of it. */
#include "cmd/fairctl/gonet.c"
#include "cmd/fairctl/httpd.c"
#include <sys/socket.h>

static void handle(struct http_request *r)
{
	char *msg = http_form(r, "msg"), *query = http_query(r, "msg");
	if (http_field(r, "X-Not").n)
		http_error(r, 404, "404 page not found");
	fprintf(r->out, "%s%s%.*s%.*s", msg, query, FL_FMT(r->path), FL_FMT(r->body));
	free(msg);
	free(query);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct http_server server = { .handle = handle };
	int fd[2], most = 1 << 20;
	if (size > 64 * 1024 || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd))
		return 0;
	for (int i = 0; i < 2; i++)             /* neither side waits for the other */
		setsockopt(fd[i], SOL_SOCKET, SO_SNDBUF, &most, sizeof most);
	struct conn *c = fl_xalloc(sizeof *c);
	*c = (struct conn){ .s = &server, .fd = fd[1] };
	if (send(fd[0], data, size, MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)size) {
		shutdown(fd[0], SHUT_WR);
		char out[4096];
		while (one(c))
			while (recv(fd[0], out, sizeof out, MSG_DONTWAIT) > 0)
				;
	}
	close(fd[0]);
	close(fd[1]);
	free(c->buf);
	free(c);
	return 0;
}

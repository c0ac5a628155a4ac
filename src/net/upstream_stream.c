/* The connection under TCP, TLS and HTTP/2 questions: dialling, the handshake, bytes. */
#include "net/upstream_int.h"
#include <errno.h>
#include <sys/epoll.h>

#define HANDSHAKE_NS (4 * FL_SEC)       /* dial and handshake; a question that waits for them has its own, shorter limit */

int fl_up_stream_open(struct fl_up_sock *s)
{
	struct fl_upstream *u = s->up;
	int ret = fl_up_open(s, SOCK_STREAM);
	if (ret)
		return ret;
	if (u->way) {                   /* more is to come before the first byte of ours */
		s->connecting = true;
		fl_timer_set(u->net->loop, &s->timer, s->born_ns + HANDSHAKE_NS);
	}
	ret = fl_loop_add(u->net->loop, &s->io, s->connecting ? EPOLLIN | EPOLLOUT : EPOLLIN);
	if (ret)
		fl_up_close(s);
	else
		u->stats.conns++;
	return ret;
}

static int connected(struct fl_up_sock *s)
{
	int error = 0;
	socklen_t len = sizeof error;
	if (getsockopt(s->io.fd, SOL_SOCKET, SO_ERROR, &error, &len))
		error = errno;
	return -error;
}

static int shake_hands(struct fl_up_sock *s, const char *const *alpn)
{
	struct fl_upstream *u = s->up;
	struct fl_err e = { 0 };
	if (!s->tls) {
		s->tls = fl_tls_client(u->conf.creds, s->io.fd, u->conf.tls_name, alpn);
		if (!s->tls)
			return -ENOMEM;
		fl_tls_resume(s->tls, &u->past);
	}
	int ret = fl_tls_handshake(s->tls, &e);
	if (ret < 0) {
		fl_up_words(u, "%s", e.msg);
		return ret;
	}
	u->stats.resumed += !ret && fl_tls_resumed(s->tls);
	return ret ? fl_loop_change(u->net->loop, &s->io, ret == 2 ? EPOLLOUT : EPOLLIN), -EAGAIN : 0;
}

int fl_up_stream_step(struct fl_up_sock *s, const char *const *alpn)
{
	struct fl_upstream *u = s->up;
	int ret = s->tls ? 0 : connected(s);
	if (!ret && u->conf.creds)
		ret = shake_hands(s, alpn);
	if (ret)
		return ret;
	s->connecting = false;
	if (u->way)
		fl_timer_clear(u->net->loop, &s->timer);
	s->heard_ns = fl_loop_now(u->net->loop);
	return 0;
}

ssize_t fl_up_stream_send(struct fl_up_sock *s, const void *p, size_t n)
{
	ssize_t ret = s->tls ? fl_tls_write(s->tls, p, n) : send(s->io.fd, p, n, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (ret == -EPROTO)
		fl_up_words(s->up, "tls: %s", fl_tls_reason(s->tls));
	return ret < 0 && !s->tls ? -errno : ret;
}

ssize_t fl_up_stream_recv(struct fl_up_sock *s, void *p, size_t n)
{
	ssize_t ret = s->tls ? fl_tls_read(s->tls, p, n) : recv(s->io.fd, p, n, MSG_DONTWAIT);
	if (ret > 0)
		s->heard_ns = fl_loop_now(s->up->net->loop);
	if (ret == -EPROTO && fl_tls_cut(s->tls))       /* messages have lengths: nobody can make one shorter so */
		return 0;
	if (ret == -EPROTO)
		fl_up_words(s->up, "tls: %s", fl_tls_reason(s->tls));
	return ret < 0 && !s->tls ? -errno : ret;
}

void fl_up_stream_last(struct fl_up_sock *s)
{
	if (s->tls)
		fl_tls_last(s->tls);
}

void fl_up_stream_lost(struct fl_up_sock *s, int ret)
{
	struct fl_upstream *u = s->up;
	struct fl_up_ask *list, *a;
	fl_up_tell(s, UP_READ);
	struct up_told told = u->net->told;
	fl_up_take_all(s, &list);
	fl_up_close(s);
	while ((a = list)) {
		if (a->reused && !a->again && told.phase != UP_DIAL) {
			fl_up_unlink(a);
			a->again = true;
			if (!s->way->ask(u, a))
				continue;
		}
		u->net->told = told;
		fl_up_finish(a, ret, NULL, 0);
	}
}

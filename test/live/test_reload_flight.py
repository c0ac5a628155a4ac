"""Reloads while questions are in work, on every way: those that were asked before are answered, whatever became of the listener since."""
import socket
import dns.message, dns.rcode
import pytest
from certs import Authority
from server import Server, free_port
from upstream import Upstream, a_record, wait_for

WAYS = ("dns", "tcp", "tls", "https", "quic", "grpc")
SERVES = """(below) {
    tls {cert} {key}
    errors
    forward . {up} {
        read_timeout 9s
        max_fails 0
        prefer_udp
    }
}
.:{dns} {
    import below
}
tls://.:{tls} {
    import below
}
https://.:{https} {
    import below
}
quic://.:{quic} {
    import below
}
grpc://.:{grpc} {
    import below
}
.:{port} {
    whoami
}
"""
ASKS = "".join(f"{way}.test:{{port}} {{\n    errors\n    {lines}\n}}\n" for way, lines in {
    "dns": "forward . 127.0.0.1:{dns} {{\n read_timeout 9s\n max_fails 0\n {now}\n }}",
    "tcp": "forward . 127.0.0.1:{dns} {{\n force_tcp\n read_timeout 9s\n max_fails 0\n {now}\n }}",
    "tls": "forward . tls://127.0.0.1%dns.test:{tls} {{\n tls {ca}\n read_timeout 9s\n max_fails 0\n {now}\n }}",
    "https": "forward . https://127.0.0.1:{https} {{\n tls {ca}\n read_timeout 9s\n max_fails 0\n {now}\n }}",
    "quic": "forward . quic://127.0.0.1%dns.test:{quic} {{\n tls {ca}\n read_timeout 9s\n max_fails 0\n {now}\n }}",
    "grpc": "grpc . 127.0.0.1:{grpc} {{\n tls {ca}\n {other}\n }}",
}.items()).replace("{{", "{").replace("}}", "}")


def asks(n):
    """As the n-th configuration has it: nothing that the questions would notice."""
    return ASKS.replace("{now}", f"max_concurrent {1000 + n}").replace("{other}", "policy " + ("random", "sequential")[n & 1])


class World:
    """asker → server, by each way → an upstream that keeps what it is asked until it is let."""

    def __init__(self, folder):
        ca = Authority(folder)
        cert, key = ca.issue("dns.test")
        self.names = {w: free_port() for w in WAYS if w != "tcp"}
        self.names.update(cert=cert, key=key, ca=ca.ca)
        self.held, self.hold = [], True
        self.up = Upstream(self.later)

    def later(self, q, wire, peer):
        if not self.hold:
            return a_record(q)
        self.held.append((a_record(q), peer))

    def release(self):
        self.hold = False
        for wire, peer in self.held:
            self.up.udp.sendto(wire, peer)
        self.held.clear()

    def __enter__(self):
        self.up.__enter__()
        self.server = Server(SERVES, up=self.up.to, **self.names).start()
        self.asker = Server(asks(0), **self.names).start()
        return self

    def __exit__(self, *a):
        self.asker.__exit__(*a)
        self.server.__exit__(*a)
        self.up.__exit__(*a)


def ask(c, way, i):
    q = dns.message.make_query(f"n{i}.{way}.test", "A", use_edns=0)
    q.id = i
    c.send(q.to_wire())


def answers(c, n):
    """By ID, as words."""
    got = {}
    for _ in range(n):
        r = dns.message.from_wire(c.recv(4096))
        got[r.id] = "answered" if r.answer else dns.rcode.to_text(r.rcode()) + "".join(f" {o}" for o in r.options)
    return got


def reload(s, text, count=1):
    s.write(text)
    s.signal("SIGUSR1")
    s.wait_log("Reloading complete", 60, count)


@pytest.mark.parametrize("what", ["server", "listeners go", "asker", "both", "server ends"])
def test_in_flight(tmp_path, what):
    with World(tmp_path) as w, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as c:
        c.connect(("127.0.0.1", w.asker.port))
        c.settimeout(30)
        w.hold = False
        for way in WAYS:                        # connections are there
            ask(c, way, 1)
            assert answers(c, 1) == {1: "answered"}, way
        w.hold = True
        for i in range(3):
            for k, way in enumerate(WAYS):
                ask(c, way, 100 * k + i)
        wait_for(lambda: len(w.held) == 3 * len(WAYS))
        if what in ("server", "both"):
            reload(w.server, SERVES.replace("    errors\n", "    errors\n    nsid now\n"))
        if what in ("asker", "both"):
            reload(w.asker, asks(1))
        if what == "listeners go":
            reload(w.server, SERVES[SERVES.index(".:{port}"):])
        if what == "server ends":
            w.server.signal("SIGTERM")
            w.server.wait_log("Shutting down")
        w.release()
        assert answers(c, 3 * len(WAYS)) == {100 * k + i: "answered" for k in range(len(WAYS)) for i in range(3)}
        if what == "server ends":
            assert w.server.exit_code(30) == 0
        elif what != "listeners go":
            for k, way in enumerate(WAYS):
                ask(c, way, k)
            assert answers(c, len(WAYS)) == {k: "answered" for k in range(len(WAYS))}

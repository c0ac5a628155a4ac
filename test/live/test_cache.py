"""The cache's file, from outside: restarts, crashes, damage, a full disk; and equal questions at the same time."""
import os, resource, socket, threading, time

import dns.message, dns.query
import pytest

from server import Server, metric
from upstream import wait_for

COREFILE = """.:{port} {
    bind 127.0.0.1
    cache {
        persist {dir}/cache.db {every}
    }
    forward . 127.0.0.1:{up} {
        max_fails 0
    }
    prometheus 127.0.0.1:{port2}
}
"""


class Upstream:
    """Answers A with 192.0.2.n, after a while when it is told so; counts."""

    def __init__(self):
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.bind(("127.0.0.1", 0))
        self.port, self.seen, self.hold = self.sock.getsockname()[1], 0, None
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        while True:
            try:
                data, peer = self.sock.recvfrom(4096)
            except OSError:
                return
            if len(data) < 12:
                return
            self.seen += 1
            if self.hold:
                self.hold.wait(10)
            q = dns.message.from_wire(data)
            r = dns.message.make_response(q)
            r.answer.append(dns.rrset.from_text(q.question[0].name, 300, "IN", "A", "192.0.2.7"))
            self.sock.sendto(r.to_wire(), peer)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:     # closing does not wake who waits
            s.sendto(b"end", ("127.0.0.1", self.port))
        if self.hold:
            self.hold.set()
        self.thread.join(10)
        self.sock.close()


def ask(s, name, **how):
    return dns.query.udp(dns.message.make_query(name, "A", **how), "127.0.0.1", port=s.port, timeout=20)


def ttl(reply):
    assert reply.rcode() == 0 and len(reply.answer) == 1
    return reply.answer[0].ttl


def wait_file(path, newer=0, timeout=60):
    end = time.time() + timeout
    while time.time() < end:
        if path.exists() and path.stat().st_mtime_ns > newer:
            return
        time.sleep(0.05)
    raise AssertionError(f"{path} was not written")


def restart(s, sig):
    s.signal(sig)
    s.exit_code()
    s.out.close()
    s.start()


@pytest.mark.parametrize("sig", ["SIGTERM", "SIGINT", "SIGKILL"])
def test_restart(sig):
    """What was answered before is answered after, without the upstream; a crash loses no more than an interval."""
    with Upstream() as up, Server(COREFILE, up=up.port, every="1s" if sig == "SIGKILL" else "1h") as s:
        for i in range(100):
            ttl(ask(s, f"n{i}.example.net"))
        before = up.seen
        if sig == "SIGKILL":
            path = s.dir / "cache.db"           # renamed into its place when it is whole
            wait_for(lambda: path.exists() and (kept := path.read_bytes()) and all(b"n%d\x07example" % i in kept for i in range(100)))
        restart(s, sig)
        assert "100 entries, 0 more were over" in s.log()
        for i in range(100):
            assert 0 < ttl(ask(s, f"N{i}.example.net")) <= 300
        assert up.seen == before
        assert not (s.dir / "cache.db.new").exists()
        assert (s.dir / "cache.db").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("how", ["short", "flipped", "grown", "foreign", "empty", "folder"])
def test_damaged(how):
    with Upstream() as up, Server(COREFILE, up=up.port, every="1s") as s:
        for i in range(50):
            ttl(ask(s, f"n{i}.example.net"))
        s.signal("SIGTERM")
        s.exit_code()
        s.out.close()
        path = s.dir / "cache.db"
        good = path.read_bytes()
        if how == "folder":
            path.unlink()
            path.mkdir()
            s.wait = False
            s.start()
            assert s.exit_code() != 0
            assert "is a folder" in s.log()
            return
        path.write_bytes({"short": good[:-20], "flipped": good[:200] + bytes([good[200] ^ 1]) + good[201:], "grown": good + b"x",
                          "foreign": b"#!/bin/sh\n" * 100, "empty": b""}[how])
        damaged, seen = path.stat().st_mtime_ns, up.seen
        s.start()
        assert f"persist {path}: " in s.log() and "ignored, and replaced by the next one" in s.log()
        ttl(ask(s, "n0.example.net"))
        assert up.seen == seen + 1
        wait_file(path, damaged)
        restart(s, "SIGTERM")
        assert "1 entries, 0 more were over" in s.log()


def test_full_disk():
    """A limit of file size stands for it: said once, and serving goes on."""
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    with Upstream() as up:
        s = Server(COREFILE, up=up.port, every="1s")
        with s:
            resource.prlimit(s.process.pid, resource.RLIMIT_FSIZE, (100000, old[1]))    # the log is smaller
            for i in range(1500):
                ttl(ask(s, f"a-rather-long-name-so-that-it-is-too-much-{i}.example.net"))
            s.wait_log("entries are kept in memory only")
            time.sleep(2.5)
            for i in range(0, 1500, 100):
                ttl(ask(s, f"a-rather-long-name-so-that-it-is-too-much-{i}.example.net"))
            ttl(ask(s, "another.example.net"))
            time.sleep(1.5)
            assert s.log().count("entries are kept in memory only") == 1
            wait_for(lambda: not (s.dir / "cache.db.new").exists())     # it tries once a second
            resource.prlimit(s.process.pid, resource.RLIMIT_FSIZE, old)
            s.wait_log("written again", 20)
            wait_file(s.dir / "cache.db")


def test_taken_together():
    """Fifty clients ask the same at once: one question goes out. Others, with another letter case or EDNS, get their own."""
    with Upstream() as up, Server(COREFILE, up=up.port, every="1s") as s:
        up.hold = threading.Event()
        socks = []
        for i in range(50):
            q = dns.message.make_query("Same.example.net" if i % 2 else "sAME.example.net", "A", use_edns=0 if i % 5 == 0 else False)
            q.id = i + 1
            sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            sock.settimeout(10)
            sock.connect(("127.0.0.1", s.port))
            sock.send(q.to_wire())
            socks.append((sock, q))
        time.sleep(0.5)
        up.hold.set()
        for sock, q in socks:
            r = dns.message.from_wire(sock.recv(4096))
            assert q.is_response(r) and ttl(r) > 0
            assert r.question[0].name.to_text() == q.question[0].name.to_text()
            assert (r.edns >= 0) == (q.edns >= 0)
            sock.close()
        shards = min(len(os.sched_getaffinity(0)), 16)
        # A shard that finds another one at work in the shelf, stopped there by a busy machine, has one more of its clients ask for all.
        assert up.seen <= shards + metric(s.port2, "coredns_cache_drops_total") + 3

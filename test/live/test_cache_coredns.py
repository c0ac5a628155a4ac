"""serve_stale, its policy and prefetch beside CoreDNS: the same questions at the same time to both, whose upstreams change their minds alike.
Answers, TTLs and how often the upstream was asked must be the same. What differs on purpose is not asked (doc/compat.md)."""
import threading, time

import dns.flags, dns.message, dns.query, dns.rrset
import pytest

from coredns import COREDNS, needs_coredns
from server import BINARY, Server
from upstream import Upstream

COREFILE = """.:{port} {
    bind 127.0.0.1
    cache {
        success 2000 3600 1
        denial 2000 1800 1
        {options}
    }
    forward . 127.0.0.1:{up} {
        max_fails 0
    }
}
"""
CODES = {"nx": 3, "nosoa": 3, "servfail": 2, "refused": 5}


class Fickle(Upstream):
    """Answers as rules say, which change: name → (kind, ttl, data)."""

    def __init__(self):
        self.rules = {}
        super().__init__(self.reply)

    def reply(self, q, wire, peer):
        r, name = dns.message.make_response(q), q.question[0].name
        kind, ttl, data = self.rules.get(name.to_text(), ("refused", 0, ""))
        r.set_rcode(CODES.get(kind, 0))
        if kind in ("A", "CNAME"):
            r.answer.append(dns.rrset.from_text(name, ttl, "IN", kind, data))
        elif kind in ("nx", "nodata"):
            r.authority.append(dns.rrset.from_text("test.", ttl, "IN", "SOA", f"ns.test. a.test. 1 2 3 4 {ttl}"))
        return r.to_wire()


# A text is a question; a number a pause; (name, kind, ttl, data) what the upstream says from now on.
def A(n, ttl=1, name="a.test."):
    return (name, "A", ttl, f"192.0.2.{n}")


def is_(kind, ttl=1, name="a.test."):
    return (name, kind, ttl, "x.test.")


a = "a.test."
SCENARIOS = {
    "serve_stale 10s": [A(1), a, 1.2, A(2), a, .3, a, is_("servfail"), 1.2, a, .3, a, is_("nx", 2), a, .3, a, is_("nosoa"), 2.3, a, .3, a, A(3, 5), a, .3, a],
    "serve_stale 10s immediate 7s 3s": [A(1), a, 1.2, is_("servfail"), a, .3, a, 3.2, a, .3, A(2), a, 3.2, a, .3, a],
    "serve_stale 10s verify": [A(1), a, 1.2, A(2, 5), a, a, 5.2, is_("servfail"), a, a, is_("refused"), a, is_("nosoa"), a, a],
    "serve_stale 10s verify 500ms 0s 3s": [A(1), a, 1.2, A(2, 2), a, a, 2.2, is_("servfail"), a, a, 3.2, A(3, 5), a, a],
    "serve_stale 10s\n serve_stale_policy prefer_positive": [A(1), a, 1.2, is_("nx", 5), a, .3, a, .3, is_("empty"), a, .3, a, .3, A(2, 5), a, .3, a],
    "serve_stale 10s verify\n serve_stale_policy prefer_positive": [A(1), a, 1.2, is_("nx", 5), a, a, is_("CNAME"), a, A(2, 5), a, a],
    "prefetch 2 5s 50%": [A(1, 6), a, a, a, 3.3, A(2, 6), a, .3, a, 4, a, .3, a],
    "keepttl\n serve_stale 10s": [A(1, 2), a, 1.2, a, 1.2, is_("servfail"), a],
}


def ask(port, name):
    r = dns.query.udp(dns.message.make_query(name, "A"), "127.0.0.1", port=port, timeout=8)
    return r.rcode(), dns.flags.to_text(r.flags), sorted(x.to_text() for x in r.answer + r.authority)


def play(binary, options, steps, out, start):
    with Fickle() as up, Server(COREFILE, binary=binary, up=up.port, options=options, env={"GOMAXPROCS": "1"}) as s:
        start.wait(30)
        for step in steps:
            if isinstance(step, tuple):
                up.rules[step[0]] = step[1:]
            elif isinstance(step, str):
                reply = ask(s.port, step)
                time.sleep(0.1)                 # what goes on beside it
                out.append((step, reply, len(up.seen)))
            else:
                time.sleep(step)


@needs_coredns
@pytest.mark.parametrize("options", SCENARIOS)
def test_like_coredns(options):
    for _ in range(3):                          # whole seconds may pass between two of them on a busy machine
        outs, start = ([], []), threading.Barrier(2)
        threads = [threading.Thread(target=play, args=(binary, options, SCENARIOS[options], out, start))
                   for binary, out in zip((BINARY, COREDNS), outs)]
        for t in threads:
            t.start()
        for t in threads:
            t.join(60)
        if outs[0] and outs[0] == outs[1]:
            return
    assert outs[0] == outs[1]

"""serve_stale, its policy and prefetch beside CoreDNS: the same questions at the same time to both, whose upstreams change their minds alike.
Answers, TTLs and how often the upstream was asked must be the same. What differs on purpose is not asked (doc/compat.md). And what is kept of
answers of all kinds, good and strange."""
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


# ---- what is kept ----

ADDR, SOA = "{n} 60 A 192.0.2.1", "t. 30 SOA ns.t. a.t. 1 2 3 4 60"


def chain(n, end=True):
    names = ["{n}"] + [f"c{i}.t." for i in range(n)]
    return [f"{a} 60 CNAME {b}" for a, b in zip(names, names[1:])] + ([names[-1] + " 60 A 192.0.2.1"] if end else [])


# rcode, flags, answer, authority, additional; {n} is the question's name
KINDS = {
    "plain": (0, 0, [ADDR]), "ttl0": (0, 0, ["{n} 0 A 192.0.2.1"]), "ttl1": (0, 0, ["{n} 1 A 192.0.2.1"]),
    "ttl31": (0, 0, ["{n} 2147483647 A 192.0.2.1"]), "ttl32": (0, 0, ["{n} 12345678 A 192.0.2.1"]),     # 2^31, see below
    "mixed": (0, 0, [ADDR], ["t. 30 NS ns.t."], ["ns.t. 20 A 192.0.2.9"]), "chain3": (0, 0, chain(3)), "chain100": (0, 0, chain(100)),
    "noend": (0, 0, chain(3, False)), "noendsoa": (0, 0, chain(3, False), [SOA]), "loop": (0, 0, ["{n} 60 CNAME x.t.", "x.t. 60 CNAME {n}"]),
    "itself": (0, 0, ["{n} 60 CNAME {n}"]), "two": (0, 0, ["{n} 60 CNAME x.t.", "{n} 60 CNAME y.t.", "x.t. 60 A 192.0.2.1"]),
    "backwards": (0, 0, ["x.t. 60 A 192.0.2.1", "{n} 60 CNAME x.t."]), "other": (0, 0, ["x.t. 60 A 192.0.2.1"]),
    "type": (0, 0, ["{n} 60 TXT x"]), "unknown": (0, 0, [ADDR], [], ["{n} 60 TYPE65280 \\# 4 0a000001"]),
    "dname": (0, 0, ["t. 60 DNAME u.t.", "{n} 60 CNAME x.u.t.", "x.u.t. 60 A 192.0.2.1"]), "bare": (0, 0, ["t. 60 DNAME u.t."]),
    "empty": (0, 0, []), "nodata": (0, 0, [], [SOA]), "nodata0": (0, 0, [], ["t. 0 SOA ns.t. a.t. 1 2 3 4 60"]),
    "short": (3, 0, [], ["t. 3000 SOA ns.t. a.t. 1 2 3 4 7"]), "nx": (3, 0, [], [SOA]), "nosoa": (3, 0, []), "nxns": (3, 0, [], ["t. 30 NS ns.t."]),
    "nxalias": (3, 0, ["{n} 60 CNAME x.t."], [SOA]), "referral": (0, 0, [], ["t. 30 NS ns.t."]), "servfail": (2, 0, []), "sfsoa": (2, 0, [], [SOA]),
    "sfanswer": (2, 0, [ADDR]), "notimp": (4, 0, []), "refused": (5, 0, []), "formerr": (1, 0, []), "yxdomain": (6, 0, []), "eleven": (11, 0, []),
    "tc": (0, dns.flags.TC, [ADDR]), "aa": (0, dns.flags.AA, [ADDR]), "ad": (0, dns.flags.AD, [ADDR]), "addonly": (0, 0, [], [], [ADDR]),
}


def answer(q, wire, peer):
    name = q.question[0].name.to_text()
    kind = name.lower().split("-")[0]
    r = dns.message.make_response(q, recursion_available=True)
    r.flags |= KINDS[kind][1]
    r.set_rcode(KINDS[kind][0])
    for section, lines in zip((r.answer, r.authority, r.additional), KINDS[kind][2:]):
        for line in lines:
            owner, ttl, type_, data = line.format(n=name).split(" ", 3)
            section.append(dns.rrset.from_text(owner, int(ttl), "IN", type_, data))
    return r.to_wire().replace((12345678).to_bytes(4, "big"), b"\x80\0\0\0")


def kept(binary):
    """Each kind asked three times, by three types: what came, and how often the upstream was asked."""
    out = {}
    with Upstream(answer) as up, Server(".:{port} {\n bind 127.0.0.1\n cache\n forward . {up} {\n max_fails 0\n }\n}\n", binary=binary,
                                       up=up.to) as s:
        for kind in KINDS:
            for type_ in ("A", "TXT", "CNAME"):
                for i in range(3):
                    r = dns.message.from_wire(s.tcp([dns.message.make_query(f"{kind}-{type_}.t.", type_, use_edns=-1).to_wire()])[0])
                    out[kind, type_, i] = (r.rcode(), dns.flags.to_text(r.flags), len(up.seen),
                                           [sorted(x.to_text().lower() for x in section) for section in (r.answer, r.authority, r.additional)])
    return out


@needs_coredns
def test_kept_like_coredns():
    for _ in range(3):
        ours, theirs = kept(BINARY), kept(COREDNS)
        if ours == theirs:
            break
    assert ours == theirs

"""The order of addresses, which cases do not look at: weights as they come and go, and networks that are preferred."""
import collections
import dns.message, dns.rdatatype
from server import Server

HOSTS = "\n".join(f"10.0.{i}.1 www.test" for i in range(3))


def firsts(s, n=80):
    """How often each address came first."""
    count = collections.Counter()
    for _ in range(n):
        m = dns.message.from_wire(s.udp(dns.message.make_query("www.test.", "A").to_wire()))
        addresses = [str(r) for r in m.answer[0]]
        assert sorted(addresses) == [f"10.0.{i}.1" for i in range(3)]
        count[addresses[0]] += 1
    return count


def test_weights():
    corefile = ".:{port} {\n loadbalance weighted {dir}/w {\n reload 100ms\n }\n hosts {\n %s\n }\n}\n" % HOSTS
    with Server(corefile) as s:
        s.wait_log("Will try again in 100ms")
        assert len(firsts(s)) == 3              # nothing is known: all weigh the same
        (s.dir / "w").write_text("WWW.test\n10.0.2.1 255\n")
        s.wait_log("Successfully reloaded weight file")
        assert firsts(s)["10.0.2.1"] > 60       # 255 of 257
        (s.dir / "w").write_text("www.test\n10.0.1.1 256\n")
        s.wait_log('wrong weight value:"256"')
        assert firsts(s)["10.0.2.1"] > 60       # as it was
        (s.dir / "w").write_text("www.test\n10.0.1.1 255\n")
        s.wait_log("Successfully reloaded weight file", count=2)
        assert firsts(s)["10.0.1.1"] > 60
        (s.dir / "w").write_text("")
        s.wait_log("Successfully reloaded weight file", count=3)
        assert len(firsts(s)) == 3


def test_preferred_networks():
    corefile = ".:{port} {\n loadbalance {\n prefer 10.0.1.0/24\n prefer 10.0.2.0/24 10.0.0.0/16\n }\n hosts {\n %s\n }\n}\n" % HOSTS
    with Server(corefile) as s:
        assert firsts(s, 20) == {"10.0.1.1": 20}

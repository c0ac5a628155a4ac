"""A forwarding loop ends the process; nothing else does (CoreDNS plugin/loop)."""
import re, time
import dns.message, dns.rcode
import pytest
from server import Server, cpu_seconds

SAYS = (r'\[FATAL\] plugin/loop: Loop \(127\.0\.0\.1:\d+ -> %s\) detected for zone "%s", see '
        r'https://coredns\.io/plugins/loop#troubleshooting\. Query: "HINFO \d+\.\d+\.%s"')


@pytest.mark.parametrize("corefile,addr,zone,end", [
    (".:{port} {\n  loop\n  forward . 127.0.0.1:{port}\n}\n", ":{port}", ".", ""),
    ("a.test:{port} b.test:{port} {\n  loop\n  forward . 127.0.0.1:{port}\n}\n", ":{port}", "a.test.", "a.test."),
    (".:{port} {\n  loop\n  cache\n  forward . 127.0.0.1:{port2}\n}\n.:{port2} {\n  forward . 127.0.0.1:{port}\n}\n", ":{port}", ".", ""),
])
def test_a_loop_ends_the_process(corefile, addr, zone, end):
    with Server(corefile, wait=False) as s:
        assert s.exit_code() == 1
        pattern = SAYS % (re.escape(addr.replace("{port}", str(s.port))), re.escape(zone), re.escape(end))
        assert re.search(pattern, s.log()), s.log()


def test_a_loop_that_a_reload_makes():
    good = ".:{port} {\n  loop\n  reload 2s 0s\n  whoami\n}\n"
    with Server(good) as s:
        time.sleep(0.5)
        s.write(".:{port} {\n  loop\n  reload 2s 0s\n  forward . 127.0.0.1:{port}\n}\n")
        assert s.exit_code(15) == 1
        assert "detected for zone" in s.log()


def test_strangers_cannot_end_it():
    with Server(".:{port} {\n  loop\n  log\n  whoami\n}\n") as s:
        s.wait_log("HINFO")
        asked = re.search(r'"HINFO IN (\d+\.\d+)\.', s.log())
        for name in ["1.2.", "loop.", "."] + [f"{i}.{i}." for i in range(20)]:
            reply = s.udp(dns.message.make_query(name, "HINFO").to_wire())
            assert dns.message.from_wire(reply).rcode() == dns.rcode.NOERROR
        assert asked and s.process.poll() is None
        # two seconds after its own answer came, even the right name means nothing any more
        time.sleep(2.6)
        for _ in range(5):
            s.udp(dns.message.make_query(asked[1] + ".", "HINFO").to_wire())
        assert s.process.poll() is None


@pytest.mark.parametrize("corefile", [
    ".:{port} {\n  forward . 127.0.0.1:{port}\n}\n",
    ".:{port} {\n  forward . 127.0.0.1:{port2} {\n    force_tcp\n  }\n}\n.:{port2} {\n  forward . 127.0.0.1:{port} 127.0.0.1:{port}\n}\n",
])
def test_a_loop_without_the_plugin_ends_too(corefile):
    """A question that comes back again and again is given up, and everybody else is served."""
    with Server(corefile + "other.test:{port} {\n  whoami\n}\n") as s:
        for i in range(3):
            began = time.time()
            r = dns.message.from_wire(s.udp(dns.message.make_query(f"n{i}.test", "A", use_edns=0).to_wire(), timeout=10))
            assert r.rcode() == dns.rcode.SERVFAIL and time.time() - began < 2
        began = cpu_seconds(s.process.pid)
        time.sleep(1)
        assert cpu_seconds(s.process.pid) - began < 0.3
        assert s.udp(dns.message.make_query("other.test", "A").to_wire())

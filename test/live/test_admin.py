"""health, ready, prometheus and the logs, from outside: HTTP on a real server, lameduck, JSON lines, addresses that are none."""
import json, re, socket, time, urllib.error, urllib.request
import dns.message
from server import Server, free_port


def get(port, path):
    try:
        with urllib.request.urlopen(f"http://localhost:{port}{path}", timeout=20) as r:
            return r.status, r.read().decode(), r.headers["Content-Type"]
    except urllib.error.HTTPError as e:
        return e.code, e.read().decode(), e.headers["Content-Type"]


def ask(s, name="x.test.", rdtype="A", timeout=20.0):
    reply = s.udp(dns.message.make_query(name, rdtype).to_wire(), timeout=timeout)
    return dns.message.from_wire(reply) if reply else None


def until(what, seconds=60):
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_lameduck_serves_and_is_not_ready():
    with Server(".:{port} {\n health :{h} {\n lameduck 5s\n }\n ready localhost:{r}\n whoami\n}\n", h=free_port(), r=free_port()) as s:
        assert get(s.names["h"], "/health")[:2] == (200, "OK") and get(s.names["r"], "/ready")[:2] == (200, "OK")
        began = time.monotonic()
        s.signal("SIGTERM")
        until(lambda: get(s.names["r"], "/ready")[:2] == (503, "Shutting down"))
        assert get(s.names["h"], "/health")[:2] == (200, "OK") and ask(s)
        assert s.exit_code() == 0 and time.monotonic() - began > 4.9
        assert "[INFO] plugin/health: Going into lameduck mode for 5s" in s.log()


def test_metrics_over_a_reload():
    corefile = ".:{port} {\n prometheus localhost:{m}\n %s\n}\n"
    with Server(corefile % "whoami", m=free_port()) as s:
        metrics = lambda query="": get(s.names["m"], "/metrics" + query)
        labels = 'server="dns://:%d",' % s.port
        assert all(ask(s) for _ in range(3))
        status, text, kind = metrics()
        assert status == 200 and kind.startswith("text/plain; version=0.0.4; charset=utf-8")
        assert f'coredns_dns_requests_total{{family="1",proto="udp",{labels}type="A",view="",zone="."}} 3\n' in text
        assert f'coredns_dns_responses_total{{plugin="whoami",rcode="NOERROR",{labels}view="",zone="."}} 3\n' in text
        assert [x for x in metrics("?name%5B%5D=coredns_panics_total")[1].splitlines() if x[0] != "#"] == ["coredns_panics_total 0"]
        s.write(corefile % "hosts {\n 10.0.0.1 x.test\n }")
        s.signal("SIGUSR1")
        until(lambda: 'name="hosts"' in metrics()[1] and 'name="whoami"' not in metrics()[1])
        assert re.search(r'^coredns_dns_requests_total\{.*type="A".*\} 3$', metrics()[1], re.M)


def test_families_that_coredns_always_shows():
    with Server(".:{port} {\n prometheus localhost:{m}\n whoami\n}\n", m=free_port()) as s:
        text = get(s.names["m"], "/metrics")[1]
        for name in ("panics_total", "forward_healthcheck_broken_total", "forward_max_concurrent_rejects_total", "health_request_failures_total",
                     "hosts_reload_timestamp_seconds", "local_localhost_requests_total", "reload_failed_total",
                     "health_request_duration_seconds_count"):
            assert f"\ncoredns_{name} 0\n" in text, name


def test_json_lines():
    with Server(".:{port} {\n log\n acl {\n drop type MX\n }\n hosts {\n 10.0.0.1 x.test\n }\n}\n", args=["-log-format", "json"],
                env={"GOMAXPROCS": "1"}) as s:     # lines of one shard, in order
        assert ask(s) and ask(s, 'a\\"b.test.', "TXT") and not ask(s, "m.test.", "MX", 0.3)
        until(lambda: s.log().count('"plugin":"log"') == 3)
        one, two, three = [x for x in map(json.loads, (x for x in s.log().splitlines() if x[0] == "{")) if x.get("plugin") == "log"]
        assert (one["qname"], one["rcode"], one["level"], one["bufsize"], one["protocol"]) == ("x.test.", "NOERROR", "INFO", 512, "udp")
        assert one["response_size"] == 12 + 12 + 22 and 0 <= one["duration_seconds"] < 1 and '"A IN x.test. udp' in one["msg"]
        assert two["qname"] == 'a\\"b.test.' and two["rcode"] == "SERVFAIL"
        assert three["rcode"] is None and three["response_size"] == 0


def test_addresses_that_are_none():
    with Server(".:{port} {\n ready 192.0.2.1:1\n prometheus 192.0.2.1:2\n whoami\n}\n") as s:
        assert ask(s)
        assert "[ERROR] plugin/ready: Failed to start ready handler: listen tcp 192.0.2.1:1: bind: cannot assign requested address" in s.log()
        assert "[ERROR] Failed to start metrics handler: listen tcp 192.0.2.1:2: bind: cannot assign requested address" in s.log()


def test_an_old_configuration_is_asked_until_the_new_one_serves():
    """A reload that fails leaves /ready and /metrics as they were."""
    with Server(".:{port} {\n ready localhost:{r}\n prometheus localhost:{m}\n whoami\n}\n", r=free_port(), m=free_port()) as s:
        s.write(".:{port} {\n ready localhost:{r}\n prometheus localhost:{m}\n health 192.0.2.1:1\n whoami\n}\n")
        s.signal("SIGUSR1")
        s.wait_log("192.0.2.1:1: bind: cannot assign requested address")
        assert get(s.names["r"], "/ready")[:2] == (200, "OK") and 'name="whoami"' in get(s.names["m"], "/metrics")[1] and ask(s)


def test_log_before_errors():
    """Of one query the line of log comes first, as in CoreDNS: it stands below errors. Many at once, so that several are in one batch."""
    with Server(".:{port} {\n bind 127.0.0.1\n log\n errors\n forward . 127.0.0.1:{dead} {\n max_fails 0\n }\n}\n", dead=free_port()) as s:
        names = [f"n{i}.test." for i in range(50)]
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as c:
            c.settimeout(10)
            c.connect(("127.0.0.1", s.port))
            for n in names:
                c.send(dns.message.make_query(n, "A").to_wire())
            assert all(c.recv(512)[3] & 15 == 2 for _ in names)
        until(lambda: s.log().count("plugin/errors: ") == len(names))
        log = s.log()
        for n in names:
            assert 0 < log.index(f'"A IN {n} ') < log.index(f"[ERROR] plugin/errors: 2 {n} A: ")

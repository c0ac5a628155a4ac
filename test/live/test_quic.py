"""DNS over QUIC from outside: kdig and CoreDNS as clients, CoreDNS as a server, several shards, a reload, limits."""
import os, pathlib, re, shutil, signal, socket, subprocess, time, urllib.request
import pytest
from server import Server, free_port

KDIG = shutil.which("kdig")
COREDNS = next((p for p in (shutil.which("coredns"), os.path.expanduser("~/go/bin/coredns")) if p and os.access(p, os.X_OK)), None)
kdig_needed = pytest.mark.skipif(not KDIG or "quic" not in subprocess.run([KDIG or "true", "-h"], capture_output=True, text=True).stdout,
                                 reason="kdig with +quic is not installed")
coredns_needed = pytest.mark.skipif(not COREDNS, reason="CoreDNS is not installed")

LISTENER = """quic://.:{port} {
    bind 127.0.0.1
    tls {dir}/cert.pem {dir}/key.pem
    quic {
        max_streams 32
        max_connections {conns}
    }
    template IN TXT long.test {
        answer "long.test. 60 IN TXT {text}"
    }
    acl drop.test {
        drop
    }
    whoami
    prometheus 127.0.0.1:{port2}
}
"""


PLAIN = """.:{port3} {
    bind 127.0.0.1
    whoami
}
"""


def certificate(folder, name="dns.test"):
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", folder / "key.pem",
                    "-out", folder / "cert.pem", "-days", "30", "-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name},IP:127.0.0.1"],
                   check=True, capture_output=True)


def listener(corefile=LISTENER, shards=2, **names):
    s = Server(None, env={"GOMAXPROCS": str(shards)}, **{"port3": free_port(), "conns": 200, "text": " ".join(["x" * 250] * 20), **names})
    certificate(s.dir)
    s.write(corefile)
    return s


def kdig(s, *args, timeout=10):
    return subprocess.run([KDIG, "+timeout=3", "+retry=1", "@127.0.0.1", "-p", str(s.port), *args, "+quic"], capture_output=True, text=True,
                          timeout=timeout)


def metrics(s):
    return urllib.request.urlopen(f"http://127.0.0.1:{s.port2}/metrics").read().decode()


def metric(s, line):
    found = re.search("^" + re.escape(line) + r" (\S+)$", metrics(s), re.M)
    return float(found.group(1)) if found else 0.0


@kdig_needed
def test_kdig():
    with listener() as s:
        out = kdig(s, "example.org", "A").stdout
        assert "status: NOERROR" in out and "QUIC session" in out and "id: 0" in out
        assert "_udp.example.org." in out               # the name that CoreDNS has for it too
        assert "Received 468 B" in out                  # kdig pads, so do we
        assert "Received 468 B" not in kdig(s, "+nopadding", "example.org", "A").stdout
        addr = f"quic://127.0.0.1:{s.port}"
        assert metric(s, f'coredns_dns_quic_responses_total{{server="{addr}",status="0x0"}}') == 2
        assert metric(s, f'coredns_dns_requests_total{{family="1",proto="udp",server="{addr}",type="A",view="",zone="."}}') == 2
        assert metric(s, 'fairlead_quic_events_total{event="accepted"}') == 2


@kdig_needed
def test_answers_are_not_cut():
    with listener() as s:
        out = kdig(s, "+noedns", "long.test", "TXT").stdout
        assert " tc" not in out.split("Flags:")[1].split(";")[0]
        assert int(re.search(r"Received (\d+) B", out).group(1)) > 5000


@kdig_needed
def test_certificate_is_verified():
    with listener() as s:
        good = kdig(s, f"+tls-ca={s.dir}/cert.pem", "+tls-hostname=dns.test", "example.org")
        assert "status: NOERROR" in good.stdout
        bad = kdig(s, f"+tls-ca={s.dir}/cert.pem", "+tls-hostname=other.test", "example.org")
        assert "status: NOERROR" not in bad.stdout


@kdig_needed
def test_keepalive_is_an_error():
    with listener() as s:
        out = kdig(s, "+ednsopt=11:0000", "example.org")
        assert "status:" not in out.stdout
        assert metric(s, f'coredns_dns_quic_responses_total{{server="quic://127.0.0.1:{s.port}",status="0x2"}}') >= 1
        assert metric(s, 'fairlead_quic_events_total{event="protocol_error"}') >= 1


@kdig_needed
def test_dropped_queries_end_their_stream():
    with listener() as s:
        begin = time.monotonic()
        assert "status:" not in kdig(s, "+retry=0", "drop.test", "A").stdout
        assert time.monotonic() - begin < 3
        assert metric(s, f'coredns_dns_quic_responses_total{{server="quic://127.0.0.1:{s.port}",status="0x1"}}') >= 1


@kdig_needed
def test_transfers_are_refused():
    corefile = LISTENER.replace("    whoami\n", "    transfer example.org {\n        to *\n    }\n    whoami\n")
    with listener(corefile) as s:
        assert "REFUSED" in (lambda r: r.stdout + r.stderr)(kdig(s, "example.org", "AXFR"))


def test_no_certificate():
    s = Server("quic://.:{port} {\n    bind 127.0.0.1\n    whoami\n}\n", wait=False)
    with s:
        assert s.exit_code() != 0
        assert "ListenPacket: quic: tls.Config not set" in s.log()


@kdig_needed
def test_reload_and_stop():
    with listener(LISTENER.replace("whoami", "reload 2s\n    whoami") + PLAIN) as s:
        assert "status: NOERROR" in kdig(s, "example.org").stdout
        certificate(s.dir, "new.test")
        s.write(LISTENER.replace("whoami", "reload 2s\n    erratic") + PLAIN)
        s.signal("SIGUSR1")
        s.wait_log("Reloading complete", count=1)
        out = kdig(s, f"+tls-ca={s.dir}/cert.pem", "+tls-hostname=new.test", "example.org").stdout
        assert "status: NOERROR" in out and "192.0.2.53" in out
        s.signal("SIGTERM")
        assert s.exit_code() == 0


@kdig_needed
def test_garbage():
    with listener() as s:
        rng = os.urandom(1)[0]
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as u:
            u.connect(("127.0.0.1", s.port))
            for i in range(3000):
                try:
                    u.send(bytes((i * 7 + k * rng) & 255 for k in range(1 + i % 97)) if i % 3 else os.urandom(1200))
                except OSError:
                    pass
        assert "status: NOERROR" in kdig(s, "example.org").stdout
        assert s.process.poll() is None


# ---- CoreDNS as the client of ours ----

def coredns(folder, corefile):
    path = pathlib.Path(folder) / "Corefile.peer"
    path.write_text(corefile)
    log = open(pathlib.Path(folder) / "peer.log", "wb")
    return subprocess.Popen([COREDNS, "-conf", str(path)], stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)


def ask(port, name, rtype="A", timeout=3.0):
    import dns.message, dns.query
    return dns.query.udp(dns.message.make_query(name, rtype), "127.0.0.1", port=port, timeout=timeout)


def until_answered(port, name, tries=60):
    for _ in range(tries):
        try:
            return ask(port, name, timeout=0.5)
        except Exception:
            time.sleep(0.1)
    raise AssertionError(f"no answer from port {port}")


@coredns_needed
def test_coredns_asks_us():
    with listener() as s:
        port = free_port()
        peer = coredns(s.dir, f".:{port} {{\n bind 127.0.0.1\n forward . quic://127.0.0.1:{s.port} {{\n  tls {s.dir}/cert.pem\n"
                              "  tls_servername dns.test\n }\n}\n")
        try:
            assert until_answered(port, "first.example.org").rcode() == 0
            for i in range(100):
                r = ask(port, f"n{i}.example.org")
                assert r.rcode() == 0 and r.additional
            text = metrics(s)
            assert float(re.search(r'status="0x0"} (\S+)', text).group(1)) >= 101
            assert 'event="protocol_error"' not in text or 'event="protocol_error"} 0' in text
        finally:
            peer.kill()
            peer.wait()

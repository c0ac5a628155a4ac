"""DNS over QUIC from outside: kdig and CoreDNS as clients, CoreDNS as a server, several shards, a reload, limits."""
import os, re, shutil, socket, subprocess, time
import pytest
from coredns import coredns, needs_coredns
from server import Server, free_port, metric, metrics
from upstream import wait_for

KDIG = shutil.which("kdig")
kdig_needed = pytest.mark.skipif(not KDIG or "quic" not in subprocess.run([KDIG or "true", "-h"], capture_output=True, text=True).stdout,
                                 reason="kdig with +quic is not installed")

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


def kdig(s, *args, timeout=60):
    return subprocess.run([KDIG, "+timeout=15", "+retry=1", "@127.0.0.1", "-p", str(s.port), *args, "+quic"], capture_output=True, text=True,
                          timeout=timeout)


@kdig_needed
def test_kdig():
    with listener() as s:
        out = kdig(s, "example.org", "A").stdout
        assert "status: NOERROR" in out and "QUIC session" in out and "id: 0" in out
        assert "_udp.example.org." in out               # the name that CoreDNS has for it too
        assert "Received 468 B" in out                  # kdig pads, so do we
        assert "Received 468 B" not in kdig(s, "+nopadding", "example.org", "A").stdout
        addr = f"quic://127.0.0.1:{s.port}"
        assert metric(s.port2, f'coredns_dns_quic_responses_total{{server="{addr}",status="0x0"}}') == 2
        assert metric(s.port2, f'coredns_dns_requests_total{{family="1",proto="udp",server="{addr}",type="A",view="",zone="."}}') == 2
        assert metric(s.port2, 'fairlead_quic_events_total{event="accepted"}') == 2


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
        assert metric(s.port2, f'coredns_dns_quic_responses_total{{server="quic://127.0.0.1:{s.port}",status="0x2"}}') >= 1
        assert metric(s.port2, 'fairlead_quic_events_total{event="protocol_error"}') >= 1


@kdig_needed
def test_dropped_queries_end_their_stream():
    with listener() as s:
        assert "status:" not in kdig(s, "+retry=0", "drop.test", "A").stdout
        assert metric(s.port2, f'coredns_dns_quic_responses_total{{server="quic://127.0.0.1:{s.port}",status="0x1"}}') >= 1


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

def ask(port, name, rtype="A", timeout=20.0):
    import dns.message, dns.query
    return dns.query.udp(dns.message.make_query(name, rtype), "127.0.0.1", port=port, timeout=timeout)


def until_answered(port, name, tries=60):
    for _ in range(tries):
        try:
            r = ask(port, name, timeout=3)
            if not r.rcode():
                return r
        except Exception:
            pass
        time.sleep(0.1)
    raise AssertionError(f"no answer from port {port}")


@needs_coredns
def test_coredns_asks_us():
    with listener() as s:
        with coredns(f".:{{port}} {{\n bind 127.0.0.1\n forward . quic://127.0.0.1:{s.port} {{\n  tls {s.dir}/cert.pem\n"
                     "  tls_servername dns.test\n }\n}\n") as peer:
            assert until_answered(peer.port, "first.example.org").rcode() == 0
            for i in range(100):
                r = ask(peer.port, f"n{i}.example.org")
                assert r.rcode() == 0 and r.additional
            text = metrics(s.port2)
            assert float(re.search(r'status="0x0"} (\S+)', text).group(1)) >= 101
            assert 'event="protocol_error"' not in text or 'event="protocol_error"} 0' in text


# ---- ours as the client ----

FORWARD = """.:{port} {
    bind 127.0.0.1
    forward . quic://127.0.0.1:{peer} {
        tls {ca}
        tls_servername {name}
        max_fails 0
    }
    prometheus 127.0.0.1:{port2}
}
"""


def forwarder(peer, ca, name="dns.test", corefile=FORWARD, shards=1):
    return Server(corefile, env={"GOMAXPROCS": str(shards)}, peer=peer, ca=ca, name=name)


def counted(s, name, to):
    return metric(s.port2, f'{name}{{proto="quic",proxy_name="forward",to="127.0.0.1:{to}"}}')


def test_we_ask_us():
    with listener() as s, forwarder(s.port, s.dir / "cert.pem", shards=2) as f:
        for i in range(200):
            r = ask(f.port, f"n{i}.example.org")
            assert r.rcode() == 0 and r.additional
        assert counted(f, "coredns_proxy_conn_cache_misses_total", s.port) <= 2         # one for each shard
        assert counted(f, "coredns_proxy_conn_cache_hits_total", s.port) >= 198
        import dns.message, dns.query
        r = dns.query.tcp(dns.message.make_query("long.test", "TXT"), "127.0.0.1", port=f.port, timeout=20)
        assert len(r.to_wire()) > 5000


def test_connections_survive_a_reload_and_a_restart():
    with listener(LISTENER.replace("whoami", "reload 2s\n    whoami")) as s, forwarder(s.port, s.dir / "cert.pem") as f:
        assert ask(f.port, "a.example.org").rcode() == 0
        s.write(LISTENER.replace("whoami", "reload 2s\n    any\n    whoami"))
        s.signal("SIGUSR1")
        s.wait_log("Reloading complete")
        assert ask(f.port, "b.example.org").rcode() == 0
        assert counted(f, "coredns_proxy_conn_cache_misses_total", s.port) == 1
        s.process.kill()
        s.process.wait()
        s.out.close()
        s.start()
        assert ask(f.port, "c.example.org").rcode() == 0         # over a new one, without the client's knowledge


def test_untrusted_server():
    import dns.edns, dns.message, dns.query, dns.rcode
    with listener() as s, forwarder(s.port, s.dir / "cert.pem", name="other.test") as f:
        q = dns.message.make_query("example.org", "A", use_edns=0)
        r = dns.query.udp(q, "127.0.0.1", port=f.port, timeout=20)
        assert r.rcode() == dns.rcode.SERVFAIL
        assert any("certificate is valid for dns.test, not other.test" in str(o) for o in r.options)


def test_what_quic_cannot_carry():
    import dns.edns, dns.message, dns.query, dns.rcode
    with listener() as s, forwarder(s.port, s.dir / "cert.pem") as f:
        q = dns.message.make_query("example.org", "AXFR")
        assert dns.query.tcp(q, "127.0.0.1", port=f.port, timeout=20).rcode() == dns.rcode.NOTIMP
        q = dns.message.make_query("example.org", "A", use_edns=0, options=[dns.edns.GenericOption(11, b"")])
        assert dns.query.tcp(q, "127.0.0.1", port=f.port, timeout=20).rcode() == 0      # edns-tcp-keepalive stays here


@needs_coredns
def test_we_ask_coredns(tmp_path):
    certificate(tmp_path)
    with coredns("quic://.:{port} {\n bind 127.0.0.1\n tls {cert}/cert.pem {cert}/key.pem\n whoami\n}\n", cert=tmp_path) as peer:
        with forwarder(peer.port, tmp_path / "cert.pem") as f:
            until_answered(f.port, "first.example.org")
            for i in range(100):
                r = ask(f.port, f"n{i}.example.org")
                assert r.rcode() == 0 and r.additional


@kdig_needed
def test_truncated_upstream_is_asked_again():
    """A client of QUIC has no TCP to go to: we have."""
    import threading, dns.flags, dns.message, dns.rrset
    full = dns.rrset.from_text("big.test.", 60, "IN", "TXT", *['"' + chr(97 + i) * 200 + '"' for i in range(12)])
    port = free_port()
    u, t = socket.socket(socket.AF_INET, socket.SOCK_DGRAM), socket.socket()
    u.bind(("127.0.0.1", port))
    t.bind(("127.0.0.1", port))
    t.listen(4)

    def answer(wire, cut):
        r = dns.message.make_response(dns.message.from_wire(wire))
        if cut:
            r.flags |= dns.flags.TC
        else:
            r.answer.append(full)
        return r.to_wire()

    def udp():
        while True:
            try:
                wire, who = u.recvfrom(4096)
            except OSError:
                return
            u.sendto(answer(wire, True), who)

    def tcp():
        while True:
            try:
                c, _ = t.accept()
            except OSError:
                return
            with c:
                try:
                    n = int.from_bytes(c.recv(2, socket.MSG_WAITALL), "big")
                    wire = answer(c.recv(n, socket.MSG_WAITALL), False)
                    c.sendall(len(wire).to_bytes(2, "big") + wire)
                    c.recv(1)
                except OSError:
                    pass

    for run in (udp, tcp):
        threading.Thread(target=run, daemon=True).start()
    try:
        with listener(LISTENER.replace("whoami", f"forward . 127.0.0.1:{port}")) as s:
            out = kdig(s, "big.test", "TXT").stdout
            assert "ANSWER: 12" in out and " tc" not in out.split("Flags:")[1].split(";")[0]
    finally:
        u.close()
        t.close()


@kdig_needed
def test_max_connections():
    """Of all shards together; the place of one that went is free again."""
    with listener(LISTENER.replace("whoami", "timeouts {\n        idle 6s\n    }\n    whoami"), shards=2, conns=2) as s:
        import contextlib
        with contextlib.ExitStack() as stack:
            for _ in range(2):
                f = stack.enter_context(forwarder(s.port, s.dir / "cert.pem"))
                assert ask(f.port, "example.org").rcode() == 0
            assert "status:" not in kdig(s, "+retry=0", "example.org").stdout
            assert metric(s.port2, 'fairlead_quic_events_total{event="refused"}') >= 1
        end = time.monotonic() + 60                     # their connections end when they are idle, at the latest
        while "status: NOERROR" not in kdig(s, "+retry=0", "example.org").stdout:
            assert time.monotonic() < end
            time.sleep(0.2)


def test_a_listener_goes_and_comes_back():
    keep = LISTENER.replace("whoami", "reload 2s\n    whoami") + PLAIN.replace("whoami", "reload 2s\n    whoami")
    with listener(keep, shards=2) as s, forwarder(s.port, s.dir / "cert.pem") as f:
        assert ask(f.port, "a.example.org").rcode() == 0
        s.write(keep[keep.index(".:{port3}"):])
        s.signal("SIGUSR1")
        s.wait_log("Reloading complete")
        wait_for(lambda: ask(f.port, "b.example.org").rcode() == 2)             # nobody is there, once the old one has gone
        s.write(keep)
        s.signal("SIGUSR1")
        s.wait_log("Reloading complete", count=2)
        assert ask(f.port, "c.example.org").rcode() == 0
        s.signal("SIGTERM")
        assert s.exit_code() == 0


def test_certificates_of_clients():
    import dns.message, dns.query, dns.rcode
    with listener(LISTENER.replace("key.pem\n", "key.pem {dir}/cert.pem {\n        client_auth require_and_verify\n    }\n")) as s:
        with forwarder(s.port, f"{s.dir}/cert.pem {s.dir}/key.pem {s.dir}/cert.pem") as f:
            assert ask(f.port, "example.org").rcode() == 0
        with forwarder(s.port, s.dir / "cert.pem") as f:
            q = dns.message.make_query("example.org", "A", use_edns=0)
            r = dns.query.udp(q, "127.0.0.1", port=f.port, timeout=20)
            assert r.rcode() == dns.rcode.SERVFAIL
            assert any("certificate required" in str(o) for o in r.options), [str(o) for o in r.options]


def test_the_asking_side_reloads_under_load():
    import threading
    text = FORWARD.replace("    prometheus", "    reload 2s\n    prometheus")
    with listener() as s, forwarder(s.port, s.dir / "cert.pem", corefile=text, shards=2) as f:
        bad, asked, over = [], [0], threading.Event()

        def load():
            while not over.is_set():
                try:
                    if ask(f.port, f"n{asked[0]}.example.org").rcode():
                        bad.append("rcode")
                except Exception as e:
                    bad.append(repr(e))
                asked[0] += 1

        workers = [threading.Thread(target=load) for _ in range(4)]
        for w in workers:
            w.start()
        for i in range(5):
            time.sleep(0.3)
            f.write(text + f"# {i}\n")
            f.signal("SIGUSR1")
            f.wait_log("Reloading complete", count=i + 1)
        over.set()
        for w in workers:
            w.join()
        assert not bad and asked[0] > 20


def test_a_server_that_fails_is_probed():
    text = FORWARD.replace("        max_fails 0\n", "")
    with listener() as s, forwarder(s.port, s.dir / "cert.pem", corefile=text) as f:
        assert ask(f.port, "a.example.org").rcode() == 0
        s.process.kill()
        s.process.wait()
        s.out.close()
        failures = f'coredns_proxy_healthcheck_failures_total{{proxy_name="forward",to="127.0.0.1:{s.port}"}}'
        end = time.monotonic() + 60
        while metric(f.port2, failures) < 3:
            ask(f.port, "b.example.org")
            assert time.monotonic() < end
        s.start()
        while ask(f.port, "c.example.org").rcode():
            assert time.monotonic() < end + 30
            time.sleep(0.2)


@kdig_needed
def test_every_address():
    """A socket of all addresses answers from the one that was asked."""
    with listener(LISTENER.replace("    bind 127.0.0.1\n", "")) as s:
        for at in ("127.0.0.1", "127.0.0.2", "::1"):
            out = subprocess.run([KDIG, "+quic", "+timeout=15", "+retry=0", "@" + at, "-p", str(s.port), "example.org"], capture_output=True,
                                 text=True, timeout=60).stdout
            assert "status: NOERROR" in out and "id: 0" in out, at

"""https3:// listeners from outside: quic-go and Chromium as clients, CoreDNS beside it, reloads, certificates, limits."""
import base64, collections, json, queue, shutil, subprocess, threading, time
import dns.edns, dns.flags, dns.message, dns.rcode
import pytest
from coredns import coredns, needs_coredns
from server import ROOT, Server, free_port
from test_dashboard import FLAGS, Browser
from test_tls import Tls, query
from tlstools import put

GO = shutil.which("go")
COREFILE = """https3://.:{port} {
    bind 127.0.0.1
    tls {dir}/srv.pem {dir}/srv.key CLIENTS
    timeouts {
        read {read}
        write {write}
        idle {idle}
    }
    OPTIONS
    prometheus 127.0.0.1:{port2}
}
"""
THEIRS = "https3://.:{port} {\n bind 127.0.0.1\n tls {srv}/srv.pem {srv}/srv.key\n whoami\n}\n"
TYPE = "application/dns-message"
Answer = collections.namedtuple("Answer", "status fields body server conns error")


@pytest.fixture(scope="module")
def peer(tmp_path_factory):
    """The client, built from its modules."""
    out = tmp_path_factory.mktemp("peer") / "h3peer"
    try:
        built = GO and subprocess.run([GO, "build", "-o", out, "."], cwd=ROOT / "test/live/h3peer", capture_output=True, text=True, timeout=300)
    except subprocess.TimeoutExpired:
        built = None
    if not built or built.returncode:
        pytest.skip("Go, or the modules of quic-go, are not there")
    return out


class Client:
    """Requests over one kept connection; answers come as they end."""

    def __init__(self, peer, port, host="127.0.0.1", **kw):
        addr = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        args = [str(x) for k, v in kw.items() for x in ("-" + k, v)]
        self.p = subprocess.Popen([peer, "-addr", addr, *args], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.n, self.got = 0, queue.Queue()
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        for line in self.p.stdout:
            a = json.loads(line)
            fields = {k.lower(): v[0] for k, v in (a["Header"] or {}).items()}
            self.got.put((a["ID"], Answer(a["Status"], fields, base64.b64decode(a["Body"] or ""), a["Server"], a["Conns"], a["Error"])))

    def send(self, method="GET", path=None, body=None, header=None, timeout=10, wait=False):
        self.n += 1
        path = get(query("example.org")) if path is None else path
        body = base64.b64encode(body).decode() if body is not None else None
        self.p.stdin.write(json.dumps(dict(ID=self.n, Method=method, Path=path, Body=body, Header=header or {}, Timeout=timeout, Wait=wait)) + "\n")
        self.p.stdin.flush()
        return self.n

    def ask(self, *args, **kw):
        want = self.send(*args, **kw)
        n, a = self.got.get(timeout=30)
        assert n == want
        return a

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.p.kill()
        self.p.wait()


def get(message):
    return "/dns-query?dns=" + base64.urlsafe_b64encode(message).rstrip(b"=").decode()


def serve(options="whoami", clients="", **kw):
    return Tls(options, corefile=COREFILE.replace("CLIENTS", clients), **kw)


Q = query("example.org", qid=7)
B64 = get(Q).split("=", 1)[1]
ROWS = [("GET", get(Q), None, 200), ("POST", "/dns-query", Q, 200), ("GET", f"/dns-query?a=b&dns={B64}&c", None, 200), ("POST", "/dns%2dquery?x", Q, 200),
        ("GET", f"/dns-query?%64ns={B64}", None, 200), ("GET", "/", None, 404), ("GET", "/dns-query/", None, 404), ("POST", "/dns", Q, 404),
        ("GET", "/dns-query", None, 400), ("GET", "/dns-query?dns=", None, 400), ("GET", f"/dns-query?dns={B64}=", None, 400),
        ("GET", f"/dns-query?dns={B64}&dns={B64}", None, 400), ("GET", "/dns-query?dns=AAAA", None, 400), ("PUT", "/dns-query", Q, 400),
        ("DELETE", get(Q), None, 400), ("HEAD", get(Q), None, 400), ("POST", "/dns-query", b"", 400), ("POST", "/dns-query", b"x" * 40, 400),
        ("POST", "/dns-query", b"\0" * 65537, 400), ("POST", "/dns-query", b"\0" * 300000, 400), ("GET", "/" + "a" * 17000, None, 431)]


def same(ours, theirs, row):
    """Status, fields and body as CoreDNS has them; names are packed in another way, and the client's port is in the answer."""
    for a in (ours, theirs):
        a.fields.pop("date", None)
    if ours.status == 200:
        a, b = dns.message.from_wire(ours.body), dns.message.from_wire(theirs.body)
        assert (a.flags, a.question, [r.name for r in a.additional]) == (b.flags, b.question, [r.name for r in b.additional])
        for x in (ours, theirs):
            x.fields.pop("content-length")
    else:
        assert ours.body == theirs.body, row
    assert (ours.status, ours.fields) == (theirs.status, theirs.fields), row


@needs_coredns
def test_as_coredns(peer):
    with serve() as srv, coredns(THEIRS, srv=srv.dir) as other, Client(peer, srv.port) as us, Client(peer, other.port) as them:
        for row in ROWS:
            same(us.ask(*row[:3]), them.ask(*row[:3]), row)


def test_statuses(peer):
    """Every row on one connection."""
    with serve() as srv, Client(peer, srv.port, ca=srv.dir / "ca.pem") as c:
        for method, path, body, status in ROWS:
            a = c.ask(method, path, body)
            assert a.status == status and not a.error, (method, path, a)
            assert a.fields["date"].endswith("GMT") and a.conns == 1
            if status == 200:
                assert a.fields["content-type"] == TYPE and a.fields["cache-control"] == "max-age=0"
                assert int(a.fields["content-length"]) == len(a.body) and dns.message.from_wire(a.body).id == 7
        addr = f"https3://127.0.0.1:{srv.port}"
        for status in (200, 400, 404):
            want = sum(r[3] == status for r in ROWS)
            assert srv.metric(f'coredns_dns_https3_responses_total{{server="{addr}",status="{status}"}}') == want
        assert srv.metric(f'coredns_dns_requests_total{{family="1",proto="udp",server="{addr}",type="A"') == 5
        assert srv.metric("fairlead_http_requests_total") == len(ROWS) - 1
        assert srv.metric('fairlead_http_aborted_total{reason="large"}') == 1
        assert srv.metric("fairlead_quic_connections") == 1


def test_answers(peer):
    text = " ".join(["x" * 250] * 20)
    with serve(f"""template IN TXT long.test {{
        answer "long.test. 77 IN TXT {text}"
    }}
    acl drop.test {{
        drop
    }}
    transfer zone.test {{
        to *
    }}
    whoami""") as srv, Client(peer, srv.port) as c:
        a = c.ask("POST", "/dns-query", query("long.test", "TXT"))
        m = dns.message.from_wire(a.body)
        assert a.status == 200 and len(a.body) > 5000 and not m.flags & dns.flags.TC        # whole, though it asked for 512 octets
        assert a.fields["cache-control"] == "max-age=77"
        padded = query("example.org", use_edns=0, options=[dns.edns.GenericOption(12, b"\0" * 10)])
        assert len(c.ask("POST", "/dns-query", padded).body) == 468
        assert len(c.ask("POST", "/dns-query", query("example.org", use_edns=0)).body) != 468
        a = c.ask("POST", "/dns-query", query("drop.test"))
        assert (a.status, a.body) == (500, b"No response\n")
        a = c.ask("POST", "/dns-query", query("zone.test", "AXFR"))
        assert a.status == 200 and dns.message.from_wire(a.body).rcode() == dns.rcode.REFUSED


def test_many(peer):
    with serve(env={"GOMAXPROCS": "2"}) as srv:
        clients = [Client(peer, srv.port) for _ in range(4)]
        for i in range(500):
            for c in clients:
                c.send("POST", "/dns-query", query(f"n{i}.example.org", qid=i))
        for c in clients:
            got = [c.got.get(timeout=60)[1] for _ in range(500)]
            assert all(a.status == 200 for a in got) and {dns.message.from_wire(a.body).id for a in got} == set(range(500))
            assert max(a.conns for a in got) == 1
            c.__exit__()


def reloaded(srv, text, count):
    srv.write(text)
    srv.signal("SIGUSR1")
    srv.wait_log("Reloading complete", count=count)


def test_reload(peer):
    """Connections stay, and ask the new configuration; new ones see the new certificate."""
    text = COREFILE.replace("CLIENTS", "")
    with Tls("", corefile=text.replace("OPTIONS", "whoami\nreload 2s")) as srv, Client(peer, srv.port, ca=srv.dir / "ca.pem") as c:
        a = c.ask()
        assert (a.server, len(dns.message.from_wire(a.body).additional)) == ("first", 2)
        put(srv.dir, "srv", *srv.ca.issue("second"))
        reloaded(srv, text.replace("OPTIONS", "template IN A {\nrcode NXDOMAIN\n}\nreload 2s"), 1)
        a = c.ask()
        assert (a.server, a.conns, dns.message.from_wire(a.body).rcode()) == ("first", 1, dns.rcode.NXDOMAIN)
        with Client(peer, srv.port, ca=srv.dir / "ca.pem") as other:
            assert other.ask().server == "second"
        srv.signal("SIGTERM")
        assert srv.exit_code() == 0


def test_reload_under_load(peer):
    text = COREFILE.replace("CLIENTS", "").replace("OPTIONS", "whoami\nreload 2s")
    with Tls("", corefile=text, env={"GOMAXPROCS": "2"}) as srv, Client(peer, srv.port) as c:
        over = threading.Event()

        def load():
            while not over.is_set():
                c.send("POST", "/dns-query", query("example.org"), wait=True)
                time.sleep(0.001)

        t = threading.Thread(target=load)
        t.start()
        got = [c.got.get(timeout=30)[1]]
        for i in range(4):
            reloaded(srv, text + f"# {i}\n", i + 1)
            got += [c.got.get(timeout=30)[1] for _ in range(10)]
        over.set()
        t.join()
        got += [c.got.get(timeout=30)[1] for _ in range(c.n - len(got))]
        assert all(a.status == 200 and a.conns == 1 for a in got), [a for a in got if a.status != 200]


def test_a_listener_goes_and_comes_back(peer):
    port = free_port()
    plain = f".:{port} {{\n bind 127.0.0.1\n whoami\n reload 2s\n}}\n"
    text = COREFILE.replace("CLIENTS", "").replace("OPTIONS", "whoami\nreload 2s") + plain
    with Tls("", corefile=text) as srv, Client(peer, srv.port) as c:
        assert c.ask().status == 200
        reloaded(srv, plain, 1)
        assert c.ask(timeout=2).error
        reloaded(srv, text, 2)
        with Client(peer, srv.port) as again:
            assert again.ask().status == 200


def test_certificates_of_clients(peer):
    with serve(clients="{dir}/ca.pem {\n client_auth require_and_verify\n }") as srv:
        put(srv.dir, "me", *srv.ca.issue("me", client=True))
        with Client(peer, srv.port, cert=srv.dir / "me.pem", key=srv.dir / "me.key") as c:
            assert c.ask().status == 200
        with Client(peer, srv.port) as c:
            assert "certificate required" in c.ask().error
        with serve() as other, Client(peer, srv.port, cert=other.dir / "srv.pem", key=other.dir / "srv.key") as c:
            assert c.ask().error


def test_certificate_is_verified(peer):
    with serve() as srv, Client(peer, srv.port, ca=srv.dir / "ca.pem", name="other.test") as c:
        assert "certificate is valid for localhost" in c.ask().error


def test_limits(peer):
    """Connections of all shards together; streams of one; what 0 means."""
    with serve("https3 {\n max_connections 2\n max_streams 1\n }\n whoami", env={"GOMAXPROCS": "2"}, idle="5s") as srv:
        with Client(peer, srv.port) as a, Client(peer, srv.port) as b, Client(peer, srv.port) as c:
            assert a.ask().status == b.ask().status == 200
            assert c.ask(timeout=3).error
            assert srv.metric('fairlead_quic_events_total{event="refused"}') >= 1
            for _ in range(20):                 # one at a time
                a.send()
            assert all(a.got.get(timeout=20)[1].status == 200 for _ in range(20))
        srv.wait_metric("fairlead_quic_connections", 0, 0)
        with Client(peer, srv.port) as c:
            assert c.ask().status == 200
    with serve("https3 {\n max_connections 0\n max_streams 0\n }\n whoami") as srv, Client(peer, srv.port) as c:
        for _ in range(300):
            c.send()
        assert all(c.got.get(timeout=20)[1].status == 200 for _ in range(300))


def test_idle(peer):
    with serve(idle="2s") as srv, Client(peer, srv.port) as c:
        assert c.ask().conns == 1
        srv.wait_metric('fairlead_quic_events_total{event="timeout"}', 1)
        a = c.ask()
        a = c.ask() if a.error else a           # its own clock was not there yet: a stateless reset told it
        assert a.status == 200 and a.conns == 2


def test_views(peer):
    view = """https3://.:{port} {
    bind 127.0.0.1
    tls {dir}/srv.pem {dir}/srv.key
    view addresses {
        expr type() == 'A' && proto() == 'udp'
    }
    whoami
}
https3://.:{port} {
    bind 127.0.0.1
    tls {dir}/srv.pem {dir}/srv.key
    template ANY ANY {
        rcode NXDOMAIN
    }
}
"""
    with Tls("", corefile=view) as srv, Client(peer, srv.port) as c:
        assert dns.message.from_wire(c.ask("POST", "/dns-query", query("example.org", "A")).body).rcode() == 0
        assert dns.message.from_wire(c.ask("POST", "/dns-query", query("example.org", "AAAA")).body).rcode() == dns.rcode.NXDOMAIN


def test_a_browser_asks():
    """Chromium over HTTP/3: a third client, with priorities and unknown streams and frames of its own."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    with serve() as srv:
        key = x509.load_pem_x509_certificate((srv.dir / "srv.pem").read_bytes()).public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        digest = hashes.Hash(hashes.SHA256())
        digest.update(key)
        flags = [f for f in FLAGS if f != "--disable-quic"] + [
            f"--origin-to-force-quic-on=localhost:{srv.port}", f"--ignore-certificate-errors-spki-list={base64.b64encode(digest.finalize()).decode()}",
            "--host-resolver-rules=MAP localhost 127.0.0.1"]
        with Browser(f"https://localhost:{srv.port}/", flags=flags) as b:
            b.wait("location.protocol === 'https:' && document.readyState === 'complete'")
            ask = "fetch(%s).then(r => r.arrayBuffer()).then(a => Array.from(new Uint8Array(a)).join())"
            for how in (json.dumps(get(Q)), "'/dns-query', {method: 'POST', body: new Uint8Array(%s)}" % list(Q)):
                m = dns.message.from_wire(bytes(int(x) for x in b.run(ask % how).split(",")))
                assert m.id == 7 and m.rcode() == 0 and m.additional
            many = "Promise.all(Array.from({length: 150}, () => fetch(%s).then(r => r.status))).then(s => s.filter(x => x === 200).length)"
            assert b.run(many % json.dumps(get(Q))) == 150
            assert b.run("performance.getEntriesByType('resource').every(e => e.nextHopProtocol === 'h3')") is True
        assert srv.metric(f'coredns_dns_https3_responses_total{{server="https3://127.0.0.1:{srv.port}",status="200"}}') == 152
        assert srv.metric('fairlead_quic_events_total{event="protocol_error"}') == 0


def test_every_address(peer):
    """A socket of all addresses answers from the one that was asked; other transports beside it on the same port."""
    text = COREFILE.replace("CLIENTS", "").replace("    bind 127.0.0.1\n", "").replace("OPTIONS", "whoami").replace(
        "https3://.:{port} {", "https3://.:{port} https://.:{port} {")
    with Tls("", corefile=text) as srv:
        for at in ("127.0.0.1", "127.0.0.2", "::1"):
            with Client(peer, srv.port, host=at) as c:
                assert c.ask().status == 200, at

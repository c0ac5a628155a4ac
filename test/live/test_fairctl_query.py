"""fairctl query and nslookup against the server, against servers that do not answer, over TLS and HTTPS. Which names are asked, and when
the search ends: test/unit/pod/search.c."""
import base64, http.server, json, pathlib, re, shutil, socket, ssl, subprocess, threading, time
import dns.message, dns.rcode, dns.rrset
import pytest
from fakeapi import make_certificates
from server import Server, frame
from test_fairctl_frame import FAIRCTL, run

NSLOOKUP = str(pathlib.Path(FAIRCTL).parent / "nslookup")
COREFILE = """example.org:{port} c.l:{port} 10.in-addr.arpa:{port} {
  template IN TXT big.example.org {
    answer "big.example.org 5 IN TXT \\"some text\\" \\"two\\""
  }
  template IN SRV srv.example.org {
    answer "srv.example.org 5 IN SRV 0 100 443 target.example.org."
  }
  template IN ANY cn.example.org {
    answer "cn.example.org 5 IN CNAME www.example.org."
    answer "www.example.org 5 IN A 10.0.0.2"
  }
  template IN SOA soa.example.org {
    answer "soa.example.org 5 IN SOA ns.example.org. host.example.org. 1 2 3 4 5"
  }
  template IN ANY fail.example.org {
    rcode SERVFAIL
  }
  template IN A nodata.ns1.svc.c.l {
    rcode NOERROR
  }
  template IN ANY missing.example.org ns1.svc.c.l svc.c.l {
    match "(missing|www)"
    rcode NXDOMAIN
    fallthrough
  }
  hosts {
    10.0.0.1 web.ns1.svc.c.l
    fd00::1 web.ns1.svc.c.l
    10.0.0.2 www.example.org
    10.0.0.4 nodata.svc.c.l
    MANY
  }
}
.:{port} {
  template IN ANY . {
    rcode NXDOMAIN
  }
}
""".replace("MANY", "\n    ".join(f"10.1.{i}.{k} many.example.org" for i in range(2) for k in range(200)))
CONF = "nameserver 127.0.0.1\nsearch ns1.svc.c.l svc.c.l\noptions ndots:5 timeout:1\n"


@pytest.fixture(scope="module")
def server():
    with Server(COREFILE) as s:
        (s.dir / "resolv.conf").write_text(CONF)
        yield s


def query(s, *args):
    p = run("query", "--resolv-conf", s.dir / "resolv.conf", "--port", s.port, "--output", "json", *args)
    return p.returncode, json.loads(p.stdout), p.stderr


def names(data):
    return [(x["name"], x["type"], x.get("rcode")) for x in data["steps"]]


def test_steps(server):
    code, data, err = query(server, "www.example.org", "A")
    assert code == 0 and names(data) == [("www.example.org.ns1.svc.c.l.", "A", "NXDOMAIN"), ("www.example.org.svc.c.l.", "A", "NXDOMAIN"),
                                         ("www.example.org.", "A", "NOERROR")]
    assert [(a["name"], a["type"], a["data"]) for a in data["answer"]] == [("www.example.org.", "A", "10.0.0.2")] and data["result"] == "found"
    code, data, _ = query(server, "web")
    assert code == 0 and names(data) == [("web.ns1.svc.c.l.", "A", "NOERROR"), ("web.ns1.svc.c.l.", "AAAA", "NOERROR")]
    assert {a["data"] for a in data["answer"]} == {"10.0.0.1", "fd00::1"}
    code, data, err = query(server, "missing.example.org.", "A")
    assert code == 1 and data["queries"] == 1 and err == "fairctl query: missing.example.org.: no such name (1 query)\n"
    assert query(server, "web", "--libc", "musl")[0] == 0
    assert query(server, "a..b", "A")[2] == "fairctl query: a..b: no domain name (0 queries)\n"


def test_glibc_and_musl_differ(server):
    code, data, _ = query(server, "nodata", "A")
    assert code == 0 and data["queries"] == 2 and data["answer"][0]["name"] == "nodata.svc.c.l."
    code, data, err = query(server, "nodata", "A", "--libc", "musl")
    assert code == 1 and data["queries"] == 1 and "the name exists, the type does not" in err


def test_text_and_tcp(server):
    at = f"127.0.0.1:{server.port}"
    p = run("query", "--server", at, "srv.example.org", "srv")
    assert p.returncode == 0 and re.fullmatch(r";; 1: srv.example.org. SRV from %s \(udp\): NOERROR, 1 record, [\d.]+ ms\n"
                                              r"srv.example.org.\t5\tIN\tSRV\t0 100 443 target.example.org.\n" % at, p.stdout)
    p = run("query", "--server", at, "many.example.org", "A")
    assert "(udp, then tcp): NOERROR, 400 records" in p.stdout
    assert "(tcp): NOERROR" in run("query", "--server", "tcp://" + at, "www.example.org", "A").stdout
    assert "PTR\tweb.ns1.svc.c.l." in run("query", "--server", at, "10.0.0.1").stdout
    assert run("query", "--server", at, "x", "bogus").returncode == 2


def test_dead_servers():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        at = "127.0.0.1:%d" % silent.getsockname()[1]
        start = time.time()
        p = run("query", "--server", at, "--timeout", "700ms", "x", "A")
        assert p.returncode == 1 and "no answer" in p.stderr and at in p.stdout and 0.6 < time.time() - start < 30
        p = run(f"-port={silent.getsockname()[1]}", "-timeout=1", "-retry=1", "x", "127.0.0.1", program=NSLOOKUP)
        assert p.returncode == 1 and "timed out" in p.stdout and p.stdout.endswith(";; no servers could be reached\n\n")
    with socket.create_server(("127.0.0.1", 0)) as s:
        at = "tcp://127.0.0.1:%d" % s.getsockname()[1]
        assert "no answer" in run("query", "--server", at, "--timeout", "500ms", "x", "A").stderr
    p = run("query", "--server", at, "x", "A")
    assert p.returncode == 1 and "connection refused" in p.stderr
    assert run("query", "--resolv-conf", "/absent", "x").returncode == 1


def test_strangers_do_not_count(server):
    """Answers with a wrong ID or another question are passed over; what follows counts."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.bind(("127.0.0.1", 0))

        def serve():
            raw, peer = s.recvfrom(512)
            q = dns.message.from_wire(raw)
            for wrong in (b"", b"x" * 11, bytes([raw[0] ^ 1]) + raw[1:2] + b"\x80" + raw[3:], raw):
                s.sendto(wrong, peer)
            other = dns.message.make_response(dns.message.make_query("other.", "A"))
            other.id = q.id
            s.sendto(other.to_wire(), peer)
            good = dns.message.make_response(q)
            good.answer.append(dns.rrset.from_text("x.", 7, "IN", "A", "192.0.2.7"))
            s.sendto(good.to_wire(), peer)
        t = threading.Thread(target=serve)
        t.start()
        p = run("query", "--server", "127.0.0.1:%d" % s.getsockname()[1], "--timeout", "20s", "x", "A")
        t.join()
    assert p.returncode == 0 and "x.\t7\tIN\tA\t192.0.2.7\n" in p.stdout


def reply(raw):
    r = dns.message.make_response(dns.message.from_wire(raw))
    r.answer.append(dns.rrset.from_text(r.question[0].name, 9, "IN", "A", "192.0.2.9"))
    return r.to_wire()


@pytest.fixture(scope="module")
def tls(tmp_path_factory):
    d = tmp_path_factory.mktemp("tls")
    make_certificates(d)
    ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ctx.load_cert_chain(d / "server.crt", d / "server.key")
    return d, ctx


def test_tls(tls):
    d, ctx = tls
    with socket.create_server(("127.0.0.1", 0)) as s:
        def serve():
            for _ in range(2):
                try:
                    with ctx.wrap_socket(s.accept()[0], server_side=True) as c:
                        wire = reply(frame(c))
                        c.sendall(len(wire).to_bytes(2, "big") + wire)
                except (OSError, EOFError):
                    pass
        t = threading.Thread(target=serve)
        t.start()
        at = "tls://127.0.0.1:%d" % s.getsockname()[1]
        p = run("query", "--server", at, "--ca", d / "ca.crt", "--timeout", "20s", "x.y", "A")
        assert p.returncode == 0 and "(tls): NOERROR, 1 record" in p.stdout and "192.0.2.9" in p.stdout, p.stderr
        p = run("query", "--server", at, "--ca", d / "other.crt" if (d / "other.crt").exists() else "/etc/hostname", "--timeout", "20s", "x.y", "A")
        assert p.returncode == 1
        s.close()
        t.join(5) if t.is_alive() else None


def test_https(tls):
    d, ctx = tls

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            q = self.path.partition("?dns=")[2]
            raw = base64.urlsafe_b64decode(q + "=" * (-len(q) % 4))
            wire = reply(raw) if self.path.startswith("/dns-query?") and raw[:2] == b"\0\0" else b""
            self.send_response(200 if wire else 400)
            self.send_header("Content-Type", "application/dns-message")
            self.send_header("Content-Length", str(len(wire)))
            self.end_headers()
            self.wfile.write(wire)

        def log_message(self, *_):
            pass
    web = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    web.socket = ctx.wrap_socket(web.socket, server_side=True)
    threading.Thread(target=web.serve_forever, daemon=True).start()
    at = f"https://127.0.0.1:{web.server_port}"
    p = run("query", "--server", at, "--ca", d / "ca.crt", "--timeout", "20s", "x.y", "A")
    assert p.returncode == 0 and f"from {at}/dns-query (https): NOERROR" in p.stdout and "192.0.2.9" in p.stdout, p.stderr
    assert run("query", "--server", at + "/other", "--insecure", "--timeout", "20s", "x.y", "A").returncode == 1
    p = run("query", "--server", at, "--timeout", "20s", "x.y", "A")
    assert p.returncode == 1 and "certificate" in p.stdout
    web.shutdown()
    web.server_close()


@pytest.mark.parametrize("args", [
    ["www.example.org"], ["web.ns1.svc.c.l"], ["-q=txt", "big.example.org"], ["-query=SRV", "srv.example.org"], ["cn.example.org"],
    ["-type=soa", "soa.example.org"], ["fail.example.org"], ["missing.example.org"], ["10.0.0.1"], ["-type=ptr", "1.0.0.10.in-addr.arpa"],
    ["-type=bogus", "www.example.org"], ["-bogus", "-vc", "www.example.org"], ["a..b"], ["-type=AAAA", "www.example.org"],
])
def test_nslookup_is_binds(server, args):
    """Beside the real one, if it is there."""
    program = NSLOOKUP
    args = [f"-port={server.port}", *args, "127.0.0.1"]
    p = run(*args, program=program)
    if not shutil.which("nslookup"):
        pytest.skip("no nslookup")
    real = subprocess.run(["nslookup", *args], capture_output=True, text=True)
    assert (p.returncode, p.stdout) == (real.returncode, real.stdout) and p.stderr == real.stderr


def test_nslookup_itself(server):
    p = run(f"-port={server.port}", "www.example.org", "127.0.0.1", program=NSLOOKUP)
    assert p.stdout == f"Server:\t\t127.0.0.1\nAddress:\t127.0.0.1#{server.port}\n\nName:\twww.example.org\nAddress: 10.0.0.2\n\n"
    assert run("nslookup").returncode == 2

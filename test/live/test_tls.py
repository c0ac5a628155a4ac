"""tls:// listeners and plugin tls from outside: pipelining, client certificates, certificates that change under load, bad clients."""
import shutil, socket, ssl, subprocess, threading, time
import dns.flags, dns.message, dns.rcode, dns.rdatatype
import pytest
from server import Server, frame, metric
from tlstools import Authority, connect, context, framed, put

COREFILE = """tls://.:{port} {
    tls {dir}/srv.pem {dir}/srv.key OPTIONS
    timeouts {
        read {read}
        idle {idle}
    }
    whoami
    prometheus 127.0.0.1:{port2}
}
"""


def query(name, qtype="A", qid=None, **kw):
    m = dns.message.make_query(name, qtype, **kw)
    m.id = qid if qid is not None else m.id
    return m.to_wire()


class Tls(Server):
    """read, write, idle: as the block `timeouts` has them. Short ones are for tests of them: a busy machine is late."""

    def __init__(self, options="", corefile=COREFILE, read="1m", write="1m", idle="1m", **kw):
        super().__init__(None, read=read, write=write, idle=idle, **kw)
        self.ca = Authority()
        put(self.dir, "srv", *self.ca.issue("first"))
        (self.dir / "ca.pem").write_bytes(self.ca.pem())
        self.write(corefile.replace("OPTIONS", options))

    def ctx(self, **kw):
        return context(self.ca.pem(), **kw)

    def metric(self, name):
        return metric(self.port2, name)

    def wait_metric(self, name, least=0, most=float("inf"), timeout=60):
        end = time.time() + timeout
        while time.time() < end:
            if least <= self.metric(name) <= most:
                return
            time.sleep(0.05)
        raise AssertionError(f"{name} is {self.metric(name)}, not {least} to {most}; the log:\n{self.log()}")


def common_name(s):
    return dict(x[0] for x in s.getpeercert()["subject"])["commonName"]


def ask(s, name="example.org", **kw):
    s.sendall(framed(query(name, **kw)))
    return dns.message.from_wire(frame(s))


def closed(s, timeout=60):
    """The peer ends the connection, in whatever way."""
    s.settimeout(timeout)
    try:
        while s.recv(4096):
            pass
        return True
    except socket.timeout:
        return False
    except OSError:
        return True


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_many_on_one_connection(version):
    with Tls() as srv, connect(srv.port, srv.ctx(version=version)) as s:
        n = 300
        s.sendall(framed(*(query(f"{i}.example.org", qid=i) for i in range(n))))
        got = {dns.message.from_wire(frame(s)).id for _ in range(n)}
        assert got == set(range(n))
        m = ask(s, use_edns=0, options=[dns.edns.GenericOption(12, b"\0" * 10)])
        assert len(m.to_wire()) and m.options[-1].otype == 12


def test_padding_only_when_asked():
    with Tls() as srv, connect(srv.port, srv.ctx()) as s:
        s.sendall(framed(query("example.org", use_edns=0, options=[dns.edns.GenericOption(12, b"")])))
        assert len(frame(s)) == 468
        s.sendall(framed(query("example.org", use_edns=0)))
        assert len(frame(s)) < 200


def test_alpn():
    with Tls() as srv:
        for offer, said in ((["dot"], "dot"), ([], None), (["h2", "dot"], "dot"), (["h2"], None)):
            with connect(srv.port, srv.ctx(alpn=offer)) as s:
                assert s.selected_alpn_protocol() == said
                assert ask(s).rcode() == 0


def test_resumption():
    with Tls() as srv:
        ctx = srv.ctx()
        with connect(srv.port, ctx) as s:
            ask(s)
            session = s.session
        for _ in range(4):              # whatever shard it comes to
            with connect(srv.port, ctx, session=session) as s:
                ask(s)
                assert s.session_reused
                session = s.session
        srv.wait_metric('fairlead_tls_handshakes_total{result="resumed"}', 4)


def test_old_versions_and_garbage():
    with Tls() as srv:
        for bad in (b"GET / HTTP/1.0\r\n\r\n", b"\x16\x03\x01\xff\xff" + b"x" * 200, b"\0" * 600, framed(query("example.org")), b"\x16\x03\x03\0\0"):
            with socket.create_connection(("127.0.0.1", srv.port), 10) as s:
                s.sendall(bad)
                assert closed(s)
        srv.wait_metric('fairlead_tls_handshakes_total{result="failed"}', 4)
        old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
        old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
        old.set_ciphers("ALL:@SECLEVEL=0")
        with pytest.raises(OSError):
            connect(srv.port, old)
        with connect(srv.port, srv.ctx()) as s:
            assert ask(s).rcode() == 0


def test_half_closed():
    """Who sends its questions and ends its side still hears the answers."""
    with Tls() as srv:
        s = connect(srv.port, srv.ctx(version=ssl.TLSVersion.TLSv1_3))
        s.sendall(framed(*(query("example.org", qid=i) for i in range(5))))
        raw = socket.socket(fileno=socket.dup(s.fileno()))
        raw.shutdown(socket.SHUT_WR)    # without a goodbye, too
        assert [dns.message.from_wire(frame(s)).id for _ in range(5)] == list(range(5))
        raw.close()
        s.close()


def test_slow_clients():
    """A handshake, a message, a silence: each ends in time."""
    with Tls(read="1s", idle="2s") as srv:
        mute = socket.create_connection(("127.0.0.1", srv.port))
        half = socket.create_connection(("127.0.0.1", srv.port))
        half.sendall(b"\x16\x03\x01")
        begun = connect(srv.port, srv.ctx())
        begun.sendall(b"\0\x40abc")
        idle = connect(srv.port, srv.ctx())
        ask(idle)
        assert all([closed(mute), closed(half), closed(begun), closed(idle)])
        srv.wait_metric('fairlead_tcp_connections_closed_total{reason="timeout"}', 4)
        srv.wait_metric("fairlead_tcp_connections", most=0)
        for s in (mute, half, begun, idle):
            s.close()


def test_client_certificates():
    other = Authority("Another Root")
    modes = {  # mode: (nobody's, ours, another's, a server's)
        "nocert": (True, True, True, True),
        "request": (True, True, True, True),
        "require": (False, True, True, True),
        "verify_if_given": (True, True, False, False),
        "require_and_verify": (False, True, False, False),
    }
    for mode, want in modes.items():
        with Tls("{dir}/ca.pem {\n client_auth %s\n }" % mode) as srv:
            put(srv.dir, "ours", *srv.ca.issue("client", client=True))
            put(srv.dir, "others", *other.issue("client", client=True))
            put(srv.dir, "wrong", *srv.ca.issue("server"))
            for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
                for name, good in zip((None, "ours", "others", "wrong"), want):
                    client = (srv.dir / f"{name}.pem", srv.dir / f"{name}.key") if name else None
                    try:
                        with connect(srv.port, srv.ctx(client=client, version=version)) as s:
                            got = ask(s).rcode() == 0
                    except (OSError, EOFError):
                        got = False
                    assert got == good, (mode, name, version)


def test_certificate_changes_under_load():
    """New connections get the new certificate, open ones go on, none fails; a broken file changes nothing and is named."""
    with Tls() as srv:
        stop, errors, seen = threading.Event(), [], set()

        def load():
            ctx = context()
            ctx.load_verify_locations(cadata=srv.ca.pem().decode())
            ctx.verify_mode = ssl.CERT_REQUIRED
            while not stop.is_set():
                try:
                    with connect(srv.port, ctx) as s:
                        seen.add(common_name(s))
                        ask(s)
                except (OSError, EOFError, ValueError) as e:
                    errors.append(repr(e))

        old = connect(srv.port, srv.ctx())
        ask(old)
        threads = [threading.Thread(target=load) for _ in range(3)]
        for t in threads:
            t.start()
        for name in ("second", "third"):
            put(srv.dir, "srv", *srv.ca.issue(name))
            end = time.time() + 60
            while name not in seen and time.time() < end:
                ask(old)
                time.sleep(0.2)
            assert name in seen
        cert, key = srv.ca.issue("fourth")
        put(srv.dir, "srv", cert, b"nonsense\n")
        srv.wait_log("srv.pem changed: could not load TLS cert: tls: failed to find any PEM data in key input: "
                     "the certificate from before goes on serving")
        with connect(srv.port, srv.ctx()) as s:
            assert common_name(s) == "third"
        put(srv.dir, "srv", cert, key)
        srv.wait_log("new connections get the new certificate", count=3)
        stop.set()
        for t in threads:
            t.join()
        with connect(srv.port, srv.ctx()) as s:
            assert common_name(s) == "fourth"
        assert not errors, errors[:3]
        ask(old)
        assert common_name(old) == "first"
        old.close()


def test_mounted_secret():
    """As Kubernetes mounts one: a link to a folder that is swapped."""
    with Tls() as srv:
        for i, name in enumerate(("one", "two")):
            (srv.dir / f"v{i}").mkdir()
            put(srv.dir / f"v{i}", "tls", *srv.ca.issue(name))
        (srv.dir / "mount").mkdir()
        (srv.dir / "mount/..data").symlink_to("../v0")
        for ext in ("pem", "key"):
            (srv.dir / f"mount/tls.{ext}").symlink_to(f"..data/tls.{ext}")
        srv.write(COREFILE.replace("srv.", "mount/tls.").replace("OPTIONS", ""))
        srv.signal("SIGUSR1")
        srv.wait_log("Reloading complete")
        with connect(srv.port, srv.ctx()) as s:
            assert common_name(s) == "one"
        (srv.dir / "mount/.new").symlink_to("../v1")
        (srv.dir / "mount/.new").rename(srv.dir / "mount/..data")
        srv.wait_log("new connections get the new certificate")
        with connect(srv.port, srv.ctx()) as s:
            assert common_name(s) == "two"


def test_reload():
    """Open connections live on; settings count for new ones; a reload with a broken certificate keeps all as it was."""
    with Tls() as srv, connect(srv.port, srv.ctx()) as s:
        ask(s)
        srv.write(COREFILE.replace("OPTIONS", "{dir}/ca.pem {\n client_auth require_and_verify\n }"))
        srv.signal("SIGUSR1")
        srv.wait_log("Reloading complete")
        assert ask(s).rcode() == 0
        with pytest.raises((OSError, EOFError)):
            with connect(srv.port, srv.ctx()) as new:
                ask(new)
        put(srv.dir, "bad", b"no\n", b"no\n")
        srv.write(COREFILE.replace("srv.", "bad.").replace("OPTIONS", ""))
        srv.signal("SIGUSR1")
        srv.wait_log("could not load TLS cert")
        assert ask(s).rcode() == 0


def test_keylog():
    with Tls("{\n keylog {dir}/secrets\n }") as srv, connect(srv.port, srv.ctx(version=ssl.TLSVersion.TLSv1_3)) as s:
        ask(s)
        lines = (srv.dir / "secrets").read_text().splitlines()
        assert {"CLIENT_TRAFFIC_SECRET_0", "SERVER_TRAFFIC_SECRET_0"} <= {line.split()[0] for line in lines}
        assert all(len(line.split()[1]) == 64 for line in lines)
        assert "Writing TLS Key Log" in srv.log()


def test_without_tls_it_is_plain():
    """As CoreDNS, but with a warning."""
    with Server("tls://.:{port} {\n whoami\n}\n") as srv:
        assert dns.message.from_wire(srv.tcp([query("example.org")])[0]).rcode() == 0
        assert "no tls in the server block: this listener is not encrypted" in srv.log()


def test_large_answers_to_a_slow_reader():
    """What a client leaves unread is bounded; one that reads gets all of it."""
    zone = "template IN TXT big.test {\n%s}\n" % "".join(
        f' answer "{{{{ .Name }}}} 60 IN TXT {i:03d}{"x" * 200}"\n' for i in range(60))
    with Tls(corefile=COREFILE.replace("whoami", zone)) as srv, connect(srv.port, srv.ctx()) as s:
        n = 100
        s.sendall(framed(*(query("big.test", "TXT", qid=i) for i in range(n))))
        time.sleep(0.3)
        for _ in range(n):
            m = dns.message.from_wire(frame(s))
            assert len(m.answer[0]) == 60


@pytest.mark.skipif(not shutil.which("kdig"), reason="kdig is not installed")
def test_kdig():
    with Tls() as srv:
        p = subprocess.run(["kdig", "+tls", f"+tls-ca={srv.dir}/ca.pem", "+tls-hostname=localhost", "@127.0.0.1", "-p", str(srv.port), "+padding",
                            "+keepopen", "example.org", "other.example.org", "+retry=0"], capture_output=True, text=True, timeout=30)
        assert p.stdout.count("status: NOERROR") == 2, p.stdout + p.stderr

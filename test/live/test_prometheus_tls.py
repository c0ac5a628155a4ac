"""prometheus … { tls FILE } from outside: what the web configuration file of exporter-toolkit asks of clients, while it changes, over reloads,
and the same clients at CoreDNS."""
import shutil, socket, ssl, subprocess

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from coredns import COREDNS, needs_coredns
from server import BINARY, Server, free_port
from test_admin import ask, until
from tlstools import Authority, put

COREFILE = ".:{port} {\n bind 127.0.0.1\n whoami\n prometheus 127.0.0.1:{m} {\n  tls web.yml\n }\n}\n"
PLAIN = ".:{port} {\n bind 127.0.0.1\n whoami\n prometheus 127.0.0.1:{m}\n}\n"
PAIR = "tls_server_config:\n  cert_file: srv.pem\n  key_file: srv.key\n"
# "fakepassword", of a cost that takes tens of milliseconds
ALICE = "basic_auth_users:\n  alice: $2y$10$QOauhQNbBCuQDKes6eFzPeMqBSjb7Mr5DUmpZ/VcEd00UAV/LDeSi\n"
RIGHT = ("-u", "alice:fakepassword")
pytestmark = pytest.mark.skipif(not shutil.which("curl"), reason="no curl")


class Prom(Server):
    def __init__(self, web, corefile=COREFILE, key=None, **kw):
        super().__init__(None, m=free_port(), **kw)
        self.ca = Authority()
        put(self.dir, "srv", *self.ca.issue("first", key=key))
        put(self.dir, "client", *self.ca.issue("client", client=True))
        put(self.dir, "stranger", *Authority("Stranger").issue("stranger", client=True))
        (self.dir / "ca.pem").write_bytes(self.ca.pem())
        self.web(web)
        self.write(corefile)

    def web(self, text):
        tmp = self.dir / "web.new"
        tmp.write_text(text)
        tmp.rename(self.dir / "web.yml")

    def curl(self, *args, path="/metrics", scheme="https"):
        """(status, header, body) of one request; status 0: curl's words of why there is none, as body."""
        p = subprocess.run(["curl", "-sS", "-m", "20", "-i", "--cacert", "ca.pem", *args, f"{scheme}://127.0.0.1:{self.names['m']}{path}"],
                           cwd=self.dir, capture_output=True, text=True)
        if p.returncode:
            return 0, {}, p.stderr
        head, _, body = p.stdout.replace("\r\n", "\n").partition("\n\n")
        first, *lines = head.split("\n")
        return int(first.split()[1]), {k.lower(): v for k, _, v in (x.partition(": ") for x in lines)} | {"": first.split()[0]}, body

    def shown(self, *args, **kw):
        status, _, body = self.curl(*args, **kw)
        return status == 200 and "\ncoredns_build_info{" in body

    def tls(self, **options):
        """The session that a client of these options gets, or None."""
        c = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        c.load_verify_locations(self.dir / "ca.pem")
        c.set_ciphers("ALL:@SECLEVEL=0")
        for k, v in options.items():
            c.set_alpn_protocols(v) if k == "alpn" else c.set_ciphers(v) if k == "ciphers" else setattr(c, k, v)
        try:
            with socket.create_connection(("127.0.0.1", self.names["m"]), 10) as s, c.wrap_socket(s, server_hostname="127.0.0.1") as t:
                t.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
                got = t.recv(100)
                return t.version(), t.cipher()[0], t.selected_alpn_protocol(), t.getpeercert()["subject"][0][0][1], got[:15]
        except (ssl.SSLError, ConnectionError):
            return None


def test_both_versions_of_http():
    with Prom(PAIR) as s:
        for version, word in (("--http2", "HTTP/2"), ("--http1.1", "HTTP/1.1")):
            status, head, body = s.curl(version)
            assert status == 200 and head[""] == word and "\ncoredns_build_info{" in body
            assert head["content-type"] == "text/plain; version=0.0.4; charset=utf-8; escaping=underscores"
            assert s.curl(version, path="/x")[0] == 404
        assert s.tls(alpn=["h2"])[2] == "h2" and s.tls()[2] is None and s.tls(alpn=["spdy/1"]) is None
        # who forgot the s is told so
        raw = socket.create_connection(("127.0.0.1", s.names["m"]), 10)
        raw.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
        raw.shutdown(socket.SHUT_WR)
        assert raw.makefile("rb").read() == b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n"
        assert ask(s) and "[ERROR]" not in s.log()


def test_no_http2():
    with Prom(PAIR + "http_server_config:\n  http2: false\n") as s:
        assert s.curl()[1][""] == "HTTP/1.1" and s.tls(alpn=["h2", "http/1.1"])[2] == "http/1.1" and s.tls(alpn=["h2"]) is None


def test_texts_in_the_file():
    with Prom(PAIR) as s:
        lines = lambda name: "".join(f"    {x}\n" for x in (s.dir / name).read_text().splitlines())
        s.web(f"tls_server_config:\n  cert: |\n{lines('srv.pem')}  key: |\n{lines('srv.key')}  client_ca: |\n{lines('ca.pem')}"
              "  client_auth_type: RequireAndVerifyClientCert\n")
        assert not s.shown() and s.shown("--cert", "client.pem", "--key", "client.key")


CLIENT, STRANGER = ("--cert", "client.pem", "--key", "client.key"), ("--cert", "stranger.pem", "--key", "stranger.key")


@pytest.mark.parametrize("more, nobody, stranger, client", [
    ("client_auth_type: NoClientCert", True, True, True),
    ("client_auth_type: RequestClientCert", True, True, True),
    ("client_auth_type: RequireAnyClientCert", False, True, True),
    ("client_auth_type: RequireClientCert\n  client_ca_file: ca.pem", False, True, True),
    ("client_auth_type: VerifyClientCertIfGiven\n  client_ca_file: ca.pem", True, False, True),
    ("client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: ca.pem", False, False, True),
    ("client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: ca.pem\n  client_allowed_sans: [x, localhost]", False, False, True),
    ("client_auth_type: RequireAnyClientCert\n  client_allowed_sans: [127.0.0.1]", False, True, True),
    ("client_auth_type: RequestClientCert\n  client_allowed_sans: [elsewhere]", False, False, False),
    ("client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: ca.pem\n  client_allowed_sans: []", False, False, False),
    ("client_allowed_sans: [elsewhere]", True, True, True),
])
def test_client_certificates(more, nobody, stranger, client):
    with Prom(f"{PAIR}  {more}\n") as s:
        for version in ("1.3", "1.2"):
            how = ("--tlsv" + version, "--tls-max", version)
            assert [s.shown(*how), s.shown(*how, *STRANGER), s.shown(*how, *CLIENT)] == [nobody, stranger, client], version


V = ssl.TLSVersion
GCM256, CBC, CHACHA = "ECDHE-RSA-AES256-GCM-SHA384", "ECDHE-RSA-AES128-SHA", "ECDHE-RSA-CHACHA20-POLY1305"


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_versions_suites_and_curves():
    """One server, whose file changes: each connection sees what it says now."""
    upto = lambda v, **kw: dict(minimum_version=v, maximum_version=v, **kw)
    with Prom(PAIR, key=rsa.generate_private_key(65537, 2048)) as s:
        got = lambda **kw: (s.tls(**kw) or (None, None))[:2]
        assert got()[0] == "TLSv1.3" and got(**upto(V.TLSv1_2))[0] == "TLSv1.2" and got(**upto(V.TLSv1_1))[0] is None
        assert got(**upto(V.TLSv1_2, ciphers=CBC)) == ("TLSv1.2", CBC)
        s.web(PAIR + "  min_version: TLS13\n")
        assert got()[0] == "TLSv1.3" and got(**upto(V.TLSv1_2))[0] is None
        s.web(PAIR + "  max_version: TLS12\n")
        assert got()[0] == "TLSv1.2" and got(**upto(V.TLSv1_3))[0] is None
        s.web(PAIR + "  min_version: TLS10\n  max_version: TLS11\n")
        for v in ("TLSv1_1", "TLSv1"):
            assert got(**upto(V[v], ciphers="ALL:@SECLEVEL=0"))[0] == v.replace("_", ".")
        s.web(PAIR + "  cipher_suites: [TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384, TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256]\n")
        assert got(**upto(V.TLSv1_2))[1] == GCM256 and got(**upto(V.TLSv1_2, ciphers=CHACHA))[1] is None
        assert got(**upto(V.TLSv1_2, ciphers="ECDHE-RSA-AES128-GCM-SHA256"))[1] is None
        assert got(**upto(V.TLSv1_3))[1] == "TLS_AES_128_GCM_SHA256"           # of which the list does not speak
        s.web(PAIR + "  curve_preferences: [CurveP384]\n")
        curve = lambda name: subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{s.names['m']}", "-curves", name], input="",
                                            capture_output=True, text=True, timeout=20).returncode
        assert curve("P-384") == 0 and curve("X25519") != 0
        s.web(PAIR + "  min_version: TLS13\n  max_version: TLS12\n")
        assert curve("P-384") == 0                                              # what was there before stays
        s.wait_log("web.yml: tls: no version and cipher suite is left to be spoken; what it said before stays")


def test_users_and_headers():
    more = "http_server_config:\n  headers:\n    X-Frame-Options: deny\n    Content-Security-Policy: default-src 'none'\n"
    with Prom(PAIR + ALICE + more) as s:
        for version in ("--http2", "--http1.1"):
            for user in ((), ("-u", "alice:wrong"), ("-u", "bob:fakepassword"), ("-H", "Authorization: Basic x"), ("-H", "Authorization: Bearer x")):
                for path in ("/metrics", "/x", "//metrics"):
                    status, head, body = s.curl(version, *user, path=path)
                    assert (status, body) == (401, "Unauthorized\n") and head["www-authenticate"] == "Basic", (user, path)
                    assert head["x-frame-options"] == "deny" and head["content-security-policy"] == "default-src 'none'"
            assert s.shown(version, *RIGHT) and s.curl(version, *RIGHT, path="/x")[0] == 404
            assert s.curl(version, *RIGHT)[1]["x-frame-options"] == "deny"
        # while a password is looked at, others are served
        s.web(PAIR + ALICE.replace("$10$", "$14$"))
        slow = subprocess.Popen(["curl", "-sk", "-m", "60", *RIGHT, f"https://127.0.0.1:{s.names['m']}/metrics", "-w", "%{http_code}"],
                                stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        served = 0
        while slow.poll() is None:
            assert s.curl()[0] == 401 and ask(s)
            served += 1
        assert slow.communicate(timeout=60)[0][-3:] == "401" and served > 2
        # who is taken off the list is out with the next request
        s.web(PAIR + "basic_auth_users: {bob: $2y$10$QOauhQNbBCuQDKes6eFzPeMqBSjb7Mr5DUmpZ/VcEd00UAV/LDeSi}\n")
        assert s.curl(*RIGHT)[0] == 401 and s.shown("-u", "bob:fakepassword")


def test_users_without_tls():
    with Prom(ALICE) as s:
        assert s.curl(scheme="http")[0] == 401 and s.shown(*RIGHT, scheme="http") and s.curl()[0] == 0
        s.web(PAIR)                                     # TLS comes with a reload only
        assert s.shown(scheme="http")
        s.write(COREFILE + "\n")
        s.signal("SIGUSR1")
        until(lambda: s.shown())
        assert s.curl(scheme="http")[0] in (0, 400)


def test_rate_limit():
    with Prom(PAIR + "rate_limit:\n  burst: 2\n  interval: 1h\n") as s:
        assert s.shown() and s.shown()
        status, head, body = s.curl()
        assert (status, body) == (429, "Too Many Requests\n") and head["x-content-type-options"] == "nosniff"
        s.web(PAIR)
        assert s.shown()


def test_certificates_change_under_way():
    with Prom(PAIR) as s:
        name = lambda: s.tls()[3]
        kept = ssl.create_default_context(cafile=s.dir / "ca.pem").wrap_socket(socket.create_connection(("127.0.0.1", s.names["m"]), 10),
                                                                               server_hostname="127.0.0.1")
        assert name() == "first"
        cert, key = s.ca.issue("second")
        (s.dir / "srv.pem").write_bytes(cert)           # not its key yet: the old pair goes on
        assert name() == "first"
        s.wait_log("web.yml: failed to load X509KeyPair: tls: private key does not match public key; what it said before stays")
        (s.dir / "srv.key").write_bytes(key)
        assert name() == "second"
        s.web("tls_server_config:\n  cert_filse: x\n")
        assert name() == "second" and s.shown()
        s.wait_log("  line 2: field cert_filse not found in type web.TLSConfig; what it said before stays")
        s.web("")                                       # a file that is just being written opens nothing
        assert s.shown() and s.curl(scheme="http")[0] in (0, 400)
        s.wait_log("web.yml: TLS config is not present")
        (s.dir / "web.yml").unlink()
        assert s.shown()
        kept.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert kept.recv(100).startswith(b"HTTP/1.1 200 OK")


@pytest.mark.parametrize("web, words", [
    (None, "open web.yml: no such file or directory"),
    (PAIR + "  min_version: TLS14\n", "unknown TLS version: TLS14"),
    (PAIR + "  client_ca_file: nope.pem\n", "open nope.pem: no such file or directory"),
    (PAIR + "  client_ca_file: web.yml\n  client_auth_type: VerifyClientCertIfGiven\n", "no certificate is in client_ca_file or client_ca"),
    ("basic_auth_users: {a: b}\n", "crypto/bcrypt: hashedSecret too short to be a bcrypted password"),
])
def test_a_bad_file_at_start(web, words):
    """As CoreDNS: it is said, DNS is answered, and nothing is at the address. With the file mended, a reload shows it."""
    s = Prom(web or "")
    if web is None:
        (s.dir / "web.yml").unlink()
    with s:
        s.wait_log(f"[ERROR] Invalid TLS config: web.yml: {words}\n")
        assert ask(s) and s.curl()[0] == 0 and s.curl(scheme="http")[0] == 0
        s.web(PAIR)
        s.write(COREFILE + "\n")
        s.signal("SIGUSR1")
        until(lambda: s.shown())


def test_a_bad_file_at_a_reload():
    with Prom(PAIR + ALICE) as s:
        assert s.shown(*RIGHT)
        s.web(PAIR + "  min_version: TLS14\n")
        s.write(COREFILE.replace("whoami", "chaos\n whoami"))
        s.signal("SIGUSR1")
        s.wait_log("[ERROR] Invalid TLS config: web.yml: unknown TLS version: TLS14; what it said before stays\n")
        s.wait_log("Reloading complete")
        assert s.shown(*RIGHT) and s.curl()[0] == 401 and ask(s)
        s.write(PLAIN)                                  # no file any more
        s.signal("SIGUSR1")
        until(lambda: s.shown(scheme="http"))
        s.web(PAIR)
        s.write(COREFILE)
        s.signal("SIGUSR1")
        until(lambda: s.shown() and s.curl()[0] == 200)


@pytest.mark.parametrize("block, words", [("tls a\n tls b", "Error during parsing: tls block already specified"),
                                          ("tls", "Error during parsing: Wrong argument count or unexpected line ending after 'tls'"),
                                          ("tls a b", "Error during parsing: Wrong argument count or unexpected line ending after 'b'")])
def test_syntax(block, words):
    with Server(".:{port} {\n prometheus 127.0.0.1:{m} {\n %s\n }\n}\n" % block, m=free_port(), wait=False) as s:
        assert s.exit_code() == 1 and words in s.log()


def test_clients_at_the_end():
    """Who is connected, in its handshake, or waits for its password when the server ends: nothing is left of it (ASan looks)."""
    with Prom(PAIR + ALICE) as s:
        c = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        c.load_verify_locations(s.dir / "ca.pem")
        raw = [socket.create_connection(("127.0.0.1", s.names["m"]), 10) for _ in range(3)]
        tls = [c.wrap_socket(x, server_hostname="127.0.0.1") for x in raw[:2]]
        tls[0].sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b"401" in tls[0].recv(100)
        tls[1].sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\nAuthorization: Basic YWxpY2U6d3Jvbmc=\r\n\r\n")
        s.signal("SIGTERM")
        assert s.exit_code() == 0


def test_ended_while_it_loads():
    loads = COREFILE.replace(" whoami\n", " kubernetes cluster.local {\n  endpoint http://127.0.0.1:1\n }\n")
    with Prom(PAIR, loads, wait=False) as s:
        until(lambda: s.curl()[0] == 200)
        s.signal("SIGTERM")
        assert s.exit_code() == 0


TWO = "".join(z + ":{port} {\n bind 127.0.0.1\n whoami\n prometheus 127.0.0.1:{m}%s\n}\n" for z in "abc")


def test_several_files_at_one_address():
    """The first counts, as in CoreDNS; after a reload the first of then."""
    web = lambda name: " {\n  tls %s\n }" % name
    with Prom(PAIR + ALICE, TWO % (web("web.yml"), web("other.yml"), "")) as s:
        assert s.curl()[0] == 401 and s.shown(*RIGHT)
        assert "[WARNING] plugin/prometheus: tls other.yml: 127.0.0.1:" in s.log() and "web.yml" in s.log()
        (s.dir / "other.yml").write_text(PAIR)
        s.write(TWO % ("", web("other.yml"), web("web.yml")))
        s.signal("SIGUSR1")
        s.wait_log("Reloading complete")
        assert s.shown()


@needs_coredns
def test_several_files_at_one_address_of_coredns():
    for order, status in (("web.yml", "other.yml"), 401), (("other.yml", "web.yml"), 200):
        with Prom(PAIR + ALICE, TWO % (*(" {\n  tls %s\n }" % x for x in order), ""), binary=COREDNS, wait=False) as s:
            (s.dir / "other.yml").write_text(PAIR)
            until(lambda: s.curl()[0] == status)


@needs_coredns
def test_the_same_as_coredns():
    """Status, header and refusals of the same requests. (Length and date differ, and so does the order, which means nothing.)"""
    web = PAIR + ALICE + "http_server_config:\n  headers:\n    X-Frame-Options: sameorigin\n    X-XSS-Protection: 1\n"
    seen = {}
    for who, binary in (("ours", BINARY), ("coredns", COREDNS)):
        with Prom(web, binary=binary) as s:
            seen[who] = []
            for version in ("--http2", "--http1.1"):
                for user in ((), RIGHT, ("-u", "alice:x"), ("-u", "bob:fakepassword")):
                    for path in ("/metrics", "/", "//metrics"):
                        for method in ("GET", "HEAD"):
                            status, head, _ = s.curl(version, *user, *(["-I"] if method == "HEAD" else []), path=path)
                            head = {k: v for k, v in head.items() if k not in ("date", "content-length", "transfer-encoding")}
                            seen[who].append((version, user, path, method, status, sorted(head.items())))
            seen[who].append((s.tls(alpn=["h2"])[2], s.tls(alpn=["spdy/1"])))
            status, head, body = s.curl("--http0.9", scheme="http")
            seen[who].append((status, body))
    assert seen["ours"] == seen["coredns"]

"""tls { acme … } from outside: a CA of our own (fakeca.py) that checks what is asked and asks the server for the record."""
import json, os, shutil, socket, ssl, stat, subprocess, threading, time, urllib.request
import dns.flags, dns.message, dns.query, dns.rcode
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from coredns import COREDNS, needs_coredns
from fakeca import FakeCA, Problem
from proxy import Proxy
from server import Server, frame, free_port
from tlstools import Authority, context, framed, put

KDIG = shutil.which("kdig")
PEBBLE = shutil.which("pebble") or shutil.which("pebble", path=os.path.expanduser("~/go/bin"))
COREFILE = """.:{port} {
    cache 30
    whoami
}
tls://.:{port2} {
    tls {
        acme NAMES
        email Hostmaster@example.test
        ca {ca}
        ca_root {dir}/root.pem
        storage {dir}/acme
        EXTRA
    }
    timeouts {
        read 1m
        idle 1m
    }
    whoami
}
"""


class Acme(Server):
    def __init__(self, ca, names="dns.example.test", extra="", corefile=COREFILE, url=None, **kw):
        super().__init__(None, ca=url or ca.url, **kw)
        self.ca = ca
        (self.dir / "root.pem").write_bytes(ca.root_pem)
        ca.dns_port = self.port
        self.text = corefile.replace("EXTRA", extra)
        self.write(self.text.replace("NAMES", names))

    def cert(self, name="dns.example.test", verify=True):
        """What a client that asks for the name is shown."""
        ctx = context(self.ca.root_pem)
        if not verify:
            ctx.check_hostname, ctx.verify_mode = False, ssl.CERT_NONE
        with socket.create_connection(("127.0.0.1", self.port2), 10) as raw, ctx.wrap_socket(raw, server_hostname=name) as s:
            s.sendall(framed(dns.message.make_query("example.org", "A").to_wire()))
            assert dns.message.from_wire(frame(s)).rcode() == dns.rcode.NOERROR
            return x509.load_der_x509_certificate(s.getpeercert(True))

    def shows(self, name):
        try:
            return self.cert(name)
        except ssl.SSLError:
            return None

    def txt(self, name):
        return dns.query.udp(dns.message.make_query(name, "TXT"), "127.0.0.1", port=self.port, timeout=20)

    def files(self):
        return sorted(p for p in (self.dir / "acme").rglob("*") if p.is_file())

    def stored(self, kind, name="dns.example.test"):
        return self.dir / "acme" / "certificates" / f"localhost-{self.ca.port}-directory" / name / f"{name}.{kind}"


def serial(name, ca, nth=-1):
    return [s for n, s in ca.issued if n == name][nth]


def wait(what, timeout=30):
    end = time.time() + timeout
    while time.time() < end:
        if what():
            return
        time.sleep(0.02)
    raise AssertionError("it did not come")


def test_obtained():
    with FakeCA() as ca:
        with Acme(ca) as s:
            # other blocks serve while there is no certificate yet
            assert s.udp(dns.message.make_query("example.org", "A").to_wire()) is not None
            s.wait_log("ACME: certificate for dns.example.test from https://localhost:")
            assert s.cert().serial_number == serial("dns.example.test", ca)
            assert ca.malformed() == []
            assert [a["contact"] for a in ca.accounts.values()] == [["mailto:hostmaster@example.test"]]
            (name, got, want, reply), = ca.txt_seen
            assert name == "_acme-challenge.dns.example.test." and got == [want]
            assert reply.flags & dns.flags.AA and reply.answer[0].ttl == 0
            assert str(reply.answer[0].name) == name
            # and it is gone when it has done its work
            wait(lambda: not s.txt("_acme-challenge.dns.example.test").answer)
            assert all(stat.S_IMODE(p.stat().st_mode) == 0o600 for p in s.files())
            names = {str(p.relative_to(s.dir / "acme")) for p in s.files()}
            issuer = f"localhost-{ca.port}-directory"
            assert names == {f"acme/{issuer}/users/hostmaster@example.test/hostmaster.{e}" for e in ("json", "key")} | {
                f"certificates/{issuer}/dns.example.test/dns.example.test.{e}" for e in ("crt", "key", "json")}
            assert json.loads(s.stored("json").read_text())["sans"] == ["dns.example.test"]
            assert stat.S_IMODE((s.dir / "acme").stat().st_mode) == 0o700


@pytest.mark.skipif(not KDIG, reason="kdig is not installed")
def test_kdig():
    with FakeCA() as ca, Acme(ca) as s:
        s.wait_log("ACME: certificate for")
        out = subprocess.run([KDIG, f"+tls-ca={s.dir}/root.pem", "+tls-hostname=dns.example.test", "-p", str(s.port2), "@127.0.0.1", "example.org"],
                             capture_output=True, text=True, timeout=20).stdout
        assert "status: NOERROR" in out


def test_no_certificate_yet_and_other_names():
    """Refused, not served with a wrong one: until it is there (internal error, as in CoreDNS), and who asks for another name."""
    with FakeCA() as ca:
        ca.refuse["order"] = Problem("rateLimited", "too many certificates already issued", 429, Retry_After=3600)
        with Acme(ca) as s:
            with pytest.raises(ssl.SSLError, match="(?i)internal.error"):
                s.cert(verify=False)
            s.wait_log("newOrder: HTTP 429 urn:ietf:params:acme:error:rateLimited - too many certificates already issued; attempt 1, the next in")
            delay = int(s.log().split("the next in ")[1].split("s")[0])
            assert 3600 <= delay <= 3961               # what the CA said, and a little
            assert ca.count("order") == 1
    with FakeCA() as ca, Acme(ca) as s:
        s.wait_log("ACME: certificate for")
        with pytest.raises(ssl.SSLError, match="(?i)unrecognized.name"):
            s.cert("other.example.test", verify=False)


def test_ca_down_at_start():
    port = free_port()
    ca = FakeCA(port=port)
    with Acme(ca, url=f"https://localhost:{port}/directory") as s:
        s.wait_log("connect: connection refused; attempt 1, the next in 1s")
        assert s.udp(dns.message.make_query("example.org", "A").to_wire()) is not None
        with ca:
            s.wait_log("ACME: certificate for")
            s.cert()


def test_bad_nonce():
    with FakeCA() as ca:
        ca.bad_nonces = 2
        with Acme(ca) as s:
            s.wait_log("ACME: certificate for")
        assert ca.malformed() == []
    with FakeCA() as ca:                # each nonce must be fetched
        ca.no_nonce = True
        with Acme(ca) as s:
            s.wait_log("ACME: certificate for")
        assert ca.count("nonce") > 3
    with FakeCA() as ca:                # it never ends: given up after a few
        ca.bad_nonces = 1000
        with Acme(ca) as s:
            s.wait_log("newAccount: HTTP 400 urn:ietf:params:acme:error:badNonce - not this one; attempt 1, the next in 6")
        assert ca.count("account") == 4


def test_invalid_challenge():
    """Said in the CA's words, and tried again only a minute later."""
    with FakeCA() as ca:
        ca.wrong_txt = True
        with Acme(ca) as s:
            s.wait_log("the authorization: HTTP 403 urn:ietf:params:acme:error:unauthorized - No TXT record that is right found at "
                       "_acme-challenge.dns.example.test; attempt 1, the next in 6")
            assert ca.count("order") == 1
            assert not s.txt("_acme-challenge.dns.example.test").answer


def test_token_changes():
    """The record follows, and none is left behind."""
    with FakeCA() as ca:
        ca.polls, ca.fresh_tokens = 2, True
        with Acme(ca) as s:
            s.wait_log("ACME: ", count=1)
            wait(lambda: not s.txt("_acme-challenge.dns.example.test").answer)
            assert "ACME: certificate for" in s.log()
        (_, got, want, _), = ca.txt_seen
        assert got == [want]


def test_polls_obey_retry_after():
    with FakeCA() as ca:
        ca.polls, ca.retry_after = 2, 1
        with Acme(ca) as s:
            s.wait_log("ACME: certificate for")
        times = [t for t, r in ca.log if r == "authz"]
        assert len(times) == 4          # once before, three times after the challenge
        assert all(b - a >= 0.99 for a, b in zip(times[1:], times[2:]))


def test_renewal():
    with FakeCA(life_s=14) as ca, Acme(ca) as s:
        s.wait_log("ACME: certificate for")
        first = s.cert()
        assert first.serial_number == serial("dns.example.test", ca, 0)
        with socket.create_connection(("127.0.0.1", s.port2), 10) as raw:
            with context(ca.root_pem).wrap_socket(raw, server_hostname="dns.example.test") as old:
                s.wait_log("ACME: certificate for", count=2)
                wait(lambda: s.cert().serial_number == serial("dns.example.test", ca, 1))
                old.sendall(framed(dns.message.make_query("example.org", "A").to_wire()))
                assert dns.message.from_wire(frame(old)).rcode() == dns.rcode.NOERROR      # open connections go on
        assert s.cert().public_key() != first.public_key()
        # not before a third was left
        times = [t for t, r in ca.log if r == "order"]
        assert times[1] - times[0] >= 8
        assert len(ca.accounts) == 1 and ca.malformed() == []


def test_renewal_fails():
    """The one before goes on serving."""
    with FakeCA(life_s=16) as ca, Acme(ca) as s:
        s.wait_log("ACME: certificate for")
        ca.refuse["order"] = Problem("serverInternal", "out of ink", 500)
        s.wait_log("newOrder: HTTP 500 urn:ietf:params:acme:error:serverInternal - out of ink")
        assert "; the one that serves ends at 20" in s.log()
        s.cert()
        assert ca.count("order") == 4   # the good one, and one that was tried three times


def test_wrong_ca_root():
    with FakeCA() as ca, FakeCA() as other:
        s = Acme(ca)
        (s.dir / "root.pem").write_bytes(other.root_pem)
        with s:
            s.wait_log('Get "https://localhost:')
            s.wait_log("x509: certificate signed by unknown authority; attempt 1, the next in 1s")
            assert ca.count("directory") == 0
            # the file is read each time: put right, it works without a reload
            (s.dir / "root.pem").write_bytes(ca.root_pem)
            s.wait_log("ACME: certificate for")


def test_start_again_and_damaged_storage():
    with FakeCA() as ca:
        s = Acme(ca)
        with s:
            s.wait_log("ACME: certificate for")
            first = s.cert()
            keep = {p: p.read_bytes() for p in s.files()}
        again = Acme(ca)
        for p, text in keep.items():
            to = again.dir / p.relative_to(s.dir)
            to.parent.mkdir(parents=True, exist_ok=True)
            to.write_bytes(text)
        with again:                     # what is stored serves at once, and nothing is asked
            asked = len(ca.log)
            assert again.cert().serial_number == first.serial_number
            time.sleep(0.5)
            assert len(ca.log) == asked
            again.process.terminate()
            again.exit_code()
            # half a certificate, and no account
            again.stored("crt").write_bytes(again.stored("crt").read_bytes()[:300])
            account, = [p for p in again.files() if p.name == "hostmaster.key"]
            account.write_text("rubbish")
            again.start()
            again.wait_log("ACME: certificate for")
            assert f"{again.stored('crt')}: no certificate chain" in again.log()
            assert f"{account}: no private key" in again.log()
            assert "it will be replaced" in again.log()
            assert again.cert().serial_number == serial("dns.example.test", ca) != first.serial_number
            assert len(ca.accounts) == 2
            assert b"END CERTIFICATE" in again.stored("crt").read_bytes()


def test_a_long_chain_in_the_storage():
    with FakeCA() as ca, Acme(ca) as s:
        s.wait_log("ACME: certificate for")
        first = s.cert()
        s.process.terminate()
        s.exit_code()
        s.stored("crt").write_bytes(ca.pem(first) + 20 * ca.root_pem)
        s.start()
        assert s.cert().serial_number == first.serial_number and ca.count("order") == 1


def test_account_forgotten():
    """A CA that was set up anew does not know us: a new account is made at once."""
    with FakeCA(life_s=14) as ca, Acme(ca) as s:
        s.wait_log("ACME: certificate for")
        ca.accounts.clear()
        s.wait_log("does not know the account")
        s.wait_log("ACME: certificate for", count=2)
        assert len(ca.accounts) == 1


def test_account_of_another_key():
    """As two processes leave them that made one at the same time: the key is the last one's, the account the first one's."""
    with FakeCA() as ca, Acme(ca) as s:
        s.wait_log("ACME: certificate for")
        s.process.terminate()
        s.exit_code()
        key = ec.generate_private_key(ec.SECP256R1())
        path, = [p for p in s.files() if p.name == "hostmaster.key"]
        path.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
        s.stored("crt").unlink()
        s.start()
        s.wait_log("ACME: certificate for")
        assert "hostmaster.json: the account of another key" in s.log()
        assert len(ca.accounts) == 2 and ca.malformed() == []
        assert json.loads(path.with_suffix(".json").read_text())["location"] == list(ca.accounts)[1]


def test_storage_not_writable():
    """No certificate is asked for that could not be kept."""
    with FakeCA() as ca:
        s = Acme(ca)
        (s.dir / "acme").write_text("a file")
        with s:
            s.wait_log("Not a directory; attempt 1, the next in 6")
            assert ca.log == []


def test_reload():
    """The account and the certificate stay; a name that is added gets its own."""
    with FakeCA() as ca, Acme(ca) as s:
        s.wait_log("ACME: certificate for")
        first = s.cert().serial_number
        s.write(s.text.replace("NAMES", "dns.example.test").replace("whoami", "whoami\n    errors"))
        s.signal("SIGUSR1")
        s.wait_log("Reloading complete")
        assert s.cert().serial_number == first
        s.write(s.text.replace("NAMES", "dns.example.test *.sub.example.test"))
        s.signal("SIGUSR1")
        s.wait_log("ACME: certificate for *.sub.example.test")
        assert s.cert().serial_number == first
        assert s.cert("any.sub.example.test").serial_number == serial("*.sub.example.test", ca)
        assert ca.count("order") == 2 and len(ca.accounts) == 1
        assert ca.txt_seen[-1][0] == "_acme-challenge.sub.example.test."
        assert s.stored("crt", "wildcard_.sub.example.test").exists()


def test_two_domains():
    with FakeCA() as ca, Acme(ca, names="b.example.test a.example.test *.a.example.test") as s:
        for name in "a.example.test", "b.example.test", "*.a.example.test":
            s.wait_log(f"ACME: certificate for {name} ")
        for name in "a.example.test", "b.example.test":
            assert s.cert(name).serial_number == serial(name, ca)
        assert s.cert("x.a.example.test").serial_number == serial("*.a.example.test", ca)
        with socket.create_connection(("127.0.0.1", s.port2), 10) as raw:        # who asks for none gets the first
            ctx = context()
            with ctx.wrap_socket(raw) as c:
                assert x509.load_der_x509_certificate(c.getpeercert(True)).serial_number == serial("b.example.test", ca)
        assert len(ca.accounts) == 1 and ca.malformed() == []


def test_names_of_other_letters():
    with FakeCA() as ca, Acme(ca, names="Bücher.Example.test.") as s:
        s.wait_log("ACME: certificate for xn--bcher-kva.example.test ")
        s.cert("xn--bcher-kva.example.test")


def test_denial_in_the_cache():
    """Somebody asked before: what the cache remembers does not hide the record."""
    corefile = COREFILE.replace("    whoami\n", "    template IN TXT example.test {\n        rcode NXDOMAIN\n        authority \"example.test. 300 IN "
                                "SOA a. b. 1 300 300 300 300\"\n    }\n", 1)
    with FakeCA() as ca:
        ca.refuse["directory"] = Problem("serverInternal", "not yet", 503)
        with Acme(ca, corefile=corefile) as s:
            for _ in range(2):
                assert s.txt("_acme-challenge.dns.example.test").rcode() == dns.rcode.NXDOMAIN
            s.wait_log("attempt 1")
        del ca.refuse["directory"]
        with Acme(ca, corefile=corefile) as s:
            assert s.txt("_acme-challenge.dns.example.test").rcode() in (dns.rcode.NXDOMAIN, dns.rcode.NOERROR)
            s.wait_log("ACME: certificate for")


def resolver(port, answers, asked):
    """A DNS server of A records, until its socket is closed."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("127.0.0.1", port))

    def run():
        while True:
            try:
                wire, peer = sock.recvfrom(4096)
            except OSError:
                return
            if not wire:
                return
            q = dns.message.from_wire(wire)
            name, kind = q.question[0].name, q.question[0].rdtype
            asked.append((str(name), kind))
            r = dns.message.make_response(q)
            if str(name) not in answers:
                r.set_rcode(dns.rcode.NXDOMAIN)
            elif kind == 1:
                r.answer += [dns.rrset.from_text(name, 60, "IN", "A", a) for a in answers[str(name)].split()]   # in this order
            sock.sendto(r.to_wire(), peer)
    threading.Thread(target=run, daemon=True).start()
    return sock


def test_resolver():
    """The CA's host is found by it, and by nobody else."""
    port, asked, answers = free_port(), [], {}
    with FakeCA(host="ca.nowhere.test") as ca:
        sock = resolver(port, answers, asked)
        with Acme(ca, extra=f"resolver 127.0.0.1:{port}") as s:
            s.wait_log(f"lookup ca.nowhere.test on 127.0.0.1:{port}: no such host; attempt 1")
            answers["ca.nowhere.test."] = "127.0.0.1"
            s.wait_log("ACME: certificate for")
        assert ("ca.nowhere.test.", 1) in asked
        answers["ca.nowhere.test."] = "127.0.0.2 127.0.0.1"     # the first is dead: the other one's turn
        with Acme(ca, extra=f"resolver 127.0.0.1:{port}") as s:
            s.wait_log("dial tcp 127.0.0.2:")
            s.wait_log("ACME: certificate for")
        sock.close()


def test_proxy():
    """HTTPS_PROXY of the environment, to which the CA's name is given as it is."""
    proxy = Proxy(host="127.0.0.1")
    env = {"HTTPS_PROXY": f"http://127.0.0.1:{proxy.port}", "https_proxy": "", "NO_PROXY": "", "no_proxy": ""}
    with FakeCA(host="ca.nowhere.test") as ca, Acme(ca, env=env) as s:
        s.wait_log("ACME: certificate for")
        assert {head.split("\r\n")[0] for head in proxy.asked} == {f"CONNECT ca.nowhere.test:{ca.port} HTTP/1.1"}


def test_answers_that_are_none():
    """What a CA cannot mean ends the attempt with words, not the server."""
    for resource, body, words in (("directory", b"<html>", "the directory: the answer is no JSON object"),
                                  ("directory", b"{}", "is this an ACME directory?"),
                                  ("order", b"[" * 5000, "newOrder: the answer is no JSON object"),
                                  ("authz", b'{"status":"pending","challenges":[]}', "the CA offers no dns-01 challenge"),
                                  ("authz", b'{"status":"pending","challenges":[{"type":"dns-01","url":"https://x/\\r\\ny","token":"a","status":"pending"}]}',
                                   "its dns-01 challenge is of no use"),
                                  ("cert", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "no certificate chain")):
        with FakeCA() as ca:
            ca.garbage[resource] = body
            with Acme(ca) as s:
                s.wait_log(words)
                assert s.udp(dns.message.make_query("example.org", "A").to_wire()) is not None


TIMEOUTS = "    timeouts {\n        read 1m\n        idle 1m\n    }\n"


@needs_coredns
def test_coredns_finds_ours_and_we_its():
    """One storage for both: who comes after the other asks the CA for nothing."""
    def start(ca, binary, storage=None):
        s = Acme(ca, names="dns.example.test *.example.test", corefile=COREFILE.replace(TIMEOUTS, ""))
        s.binary = binary
        if storage:
            shutil.copytree(storage, s.dir / "acme")
        return s
    for first, second in (None, COREDNS), (COREDNS, None):
        with FakeCA() as ca, start(ca, first or Server(None).binary) as a:
            wait(lambda: len(ca.issued) == 2 and a.stored("json", "wildcard_.example.test").exists() and a.stored("json").exists())
            wait(lambda: all("account" in a.stored("json", n).read_text() for n in ("dns.example.test", "wildcard_.example.test")))
            wait(lambda: a.shows("dns.example.test") and a.shows("x.example.test"))         # CoreDNS first stores, then serves
            shown = [a.cert(n).serial_number for n in ("dns.example.test", "x.example.test")]
            asked = len(ca.log)
            with start(ca, second or Server(None).binary, a.dir / "acme") as b:
                b.wait_log("CoreDNS-1.15.0")
                wait(lambda: b.udp(dns.message.make_query("example.org", "A").to_wire(), timeout=1))
                assert [b.cert(n).serial_number for n in ("dns.example.test", "x.example.test")] == shown
                assert len(ca.log) == asked


@pytest.mark.skipif(not PEBBLE, reason="pebble, the ACME server of Let's Encrypt for tests, is not installed")
def test_pebble(tmp_path):
    """A CA that is not ours, which refuses one nonce in twenty (four in a row end an attempt)."""
    ports = [free_port(), free_port()]
    authority = Authority()
    put(tmp_path, "ca", *authority.issue("localhost"))
    (tmp_path / "config.json").write_text(json.dumps({"pebble": {
        "listenAddress": f"127.0.0.1:{ports[0]}", "managementListenAddress": f"127.0.0.1:{ports[1]}", "certificate": str(tmp_path / "ca.pem"),
        "privateKey": str(tmp_path / "ca.key"), "httpPort": 5002, "tlsPort": 5001, "ocspResponderURL": "", "externalAccountBindingRequired": False,
        "profiles": {"default": {"description": "x", "validityPeriod": 86400}}}}))
    with FakeCA() as unused:
        s = Acme(unused, url=f"https://localhost:{ports[0]}/dir", names="dns.example.test *.example.test")
    s.text = s.text.replace("acme NAMES", "acme dns.example.test *.example.test")
    (s.dir / "root.pem").write_bytes(authority.pem())
    env = {**os.environ, "PEBBLE_WFE_NONCEREJECT": "5", "PEBBLE_VA_NOSLEEP": "1", "PEBBLE_AUTHZREUSE": "0"}
    with open(tmp_path / "log", "wb") as log:
        peer = subprocess.Popen([PEBBLE, "-config", "config.json", "-strict", "-dnsserver", f"127.0.0.1:{s.port}"], cwd=tmp_path, env=env, stdout=log,
                                stderr=subprocess.STDOUT)
        try:
            with s:
                s.wait_log("ACME: certificate for dns.example.test ")
                s.wait_log("ACME: certificate for *.example.test ")
                root = urllib.request.urlopen(f"https://localhost:{ports[1]}/roots/0", context=context(authority.pem()), timeout=10).read()
                s.ca.root_pem = root
                assert s.cert().extensions.get_extension_for_class(x509.SubjectAlternativeName).value.get_values_for_type(
                    x509.DNSName) == ["dns.example.test"]
                s.cert("x.example.test")
        except AssertionError:
            print((tmp_path / "log").read_text()[-5000:])
            raise
        finally:
            peer.kill()
            peer.wait()


def test_plain_http():
    with FakeCA(tls=False) as ca, Acme(ca) as s:
        s.wait_log("ACME: certificate for dns.example.test from http://localhost:")
        s.cert()

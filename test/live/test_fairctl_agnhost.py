"""agnhost's commands: output, words and status as the image's (recorded from agnhost of Kubernetes 1.37.2)."""
import http.client, json, os, pathlib, re, signal, socket, ssl, subprocess, time, urllib.parse
import pytest
from fakeapi import make_certificates
from server import free_port
from test_fairctl_frame import FAIRCTL, run

AGNHOST = str(pathlib.Path(FAIRCTL).parent / "agnhost")


def agnhost(*args, **kw):
    p = run(*args, program=AGNHOST, **kw)
    return p.returncode, p.stdout, p.stderr


def test_usage_errors():
    assert agnhost("bogus") == (1, "", 'Error: unknown command "bogus" for "app"\n')
    assert agnhost("dns-suffix", "--bogus") == (1, "", "Error: unknown flag: --bogus\n")
    assert agnhost("dns-suffix", "x") == (1, "", "Error: accepts at most 0 arg(s), received 1\n")
    assert agnhost("connect") == (1, "", "Error: accepts 1 arg(s), received 0\n")
    assert agnhost("connect", "--timeout", "5", "a:1") == \
        (1, "", 'Error: invalid argument "5" for "--timeout" flag: time: missing unit in duration "5"\n')
    assert agnhost("connect", "-q") == (1, "", "Error: unknown shorthand flag: 'q' in -q\n")
    code, out, err = agnhost()
    assert code == 0 and "  connect  " in out and not err


def test_lists(tmp_path):
    f = tmp_path / "resolv.conf"
    f.write_text("# c\nsearch a b  c\nnameserver 1.1.1.1\nnameserver 2.2.2.2\nsearch z\n")
    assert agnhost("dns-suffix", "--resolv-conf", f) == (0, "a,b,,c\n", "")
    assert agnhost("dns-server-list", "--resolv-conf", f) == (0, "1.1.1.1\n", "")
    assert json.loads(run("dns-suffix", "--resolv-conf", f, "--output", "json").stdout) == {"searches": ["a", "b", "", "c"]}
    f.write_text("search\n")
    assert agnhost("dns-suffix", "--resolv-conf", f) == (0, "\n", "")
    code, out, err = agnhost("dns-server-list", "--resolv-conf", f)
    assert (code, out) == (2, "") and err.startswith("panic: Could not find DNS search list!")
    assert run("dns-server-list", "--resolv-conf", f).returncode == 1
    assert agnhost("dns-suffix", "--resolv-conf", tmp_path / "absent") == (2, "", f"panic: open {tmp_path}/absent: no such file or directory\n")
    f.write_text("127.0.0.1 localhost")
    assert agnhost("etc-hosts", "--file", f) == (0, "127.0.0.1 localhost\n", "")
    assert agnhost("etc-hosts")[1] == pathlib.Path("/etc/hosts").read_text() + "\n"


@pytest.mark.parametrize("dest,tcp,udp", [
    ("127.0.0.1", "UNKNOWN: address 127.0.0.1: missing port in address", "DNS: address 127.0.0.1: missing port in address"),
    ("127.0.0.1:99999", "DNS: address 99999: invalid port", None), ("127.0.0.1:nope", "DNS: lookup tcp/nope: unknown port", "DNS: lookup udp/nope: unknown port"),
    ("[::1", "UNKNOWN: address [::1: missing ']' in address", "DNS: address [::1: missing ']' in address"),
    ("::1:80", "UNKNOWN: address ::1:80: too many colons in address", "DNS: address ::1:80: too many colons in address"),
    ("a[b:1", "UNKNOWN: address a[b:1: unexpected '[' in address", "DNS: address a[b:1: unexpected '[' in address"),
    ("bad..name:1", "DNS: lookup bad..name: no such host", None),
])
def test_connect_wrong_addresses(dest, tcp, udp):
    assert agnhost("connect", "--timeout", "2s", dest) == (1, "", tcp + "\n")
    assert agnhost("connect", "--timeout", "2s", "--protocol", "udp", dest) == (1, "", (udp or tcp) + "\n")


def test_connect():
    with socket.create_server(("127.0.0.1", 0)) as s:
        dest = "127.0.0.1:%d" % s.getsockname()[1]
        assert agnhost("connect", "--timeout", "5s", "--v=4", dest) == (0, "", "")
        assert json.loads(run("connect", dest, "--output", "json").stdout)["result"] == "OK"
    assert agnhost("connect", "--timeout=5s", dest) == (1, "", "REFUSED\n")
    assert agnhost("connect", "--timeout=-1s", dest) == (1, "", "TIMEOUT\n")
    assert json.loads(run("connect", dest, "--output", "json").stdout) == {"address": dest, "protocol": "tcp", "result": "REFUSED", "error": ""}
    assert agnhost("connect", "--protocol", "foo", dest) == (1, "", "Unsupported protocol\nfoo")
    code, _, err = agnhost("connect", "--protocol", "udp", "--timeout", "5s", dest)
    assert code == 1 and re.fullmatch(r"REFUSED: read udp 127.0.0.1:\d+->%s: read: connection refused\n" % dest, err)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.bind(("127.0.0.1", 0))
        dest = "127.0.0.1:%d" % s.getsockname()[1]
        code, _, err = agnhost("connect", "--protocol", "udp", "--timeout", "300ms", "--udp-data", "hey", dest)
        assert code == 1 and re.fullmatch(r"TIMEOUT: read udp 127.0.0.1:\d+->%s: i/o timeout\n" % dest, err)
        assert s.recv(100) == b"hey\n"


class Program:
    """A command that serves; its ports answer."""

    def __init__(self, *args, program=AGNHOST, ready=None, env=None):
        self.process = subprocess.Popen([program, *map(str, args)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                                        env={**os.environ, **(env or {})})
        self.port = ready
        end = time.time() + 20
        while ready and time.time() < end:
            try:
                socket.create_connection(("127.0.0.1", ready), 1).close()
                break
            except OSError:
                time.sleep(0.02)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.communicate()

    def get(self, target, method="GET", body=None, headers={}):
        c = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        c.request(method, target, body, headers)
        r = c.getresponse()
        self.headers = r.headers
        return r.status, r.read().decode()

    def udp(self, text, port):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.settimeout(0.5)
            s.connect(("127.0.0.1", port))
            for _ in range(100):                # a port that answers TCP may not be there for UDP yet
                try:
                    s.send(text)
                    return s.recv(4096)
                except ConnectionRefusedError:
                    time.sleep(0.05)
                except socket.timeout:
                    return None
            raise ConnectionRefusedError


@pytest.fixture(scope="module")
def netexec():
    port, udp = free_port(), free_port()
    with Program("netexec", "--http-port", port, "--udp-port", udp, ready=port, env={"FL_TEST": "Value"}) as p:
        p.udp_port = udp
        yield p


NAME = socket.gethostname()


@pytest.mark.parametrize("target,status,body", [
    ("/hostname", 200, NAME), ("/hostName", 200, NAME), ("/echo?msg=a%20b&code=404", 404, "a b"),
    ("/echo?msg=a+b&x=;", 200, "a b"), ("/echo?code=abc", 200, "argument 'code' must be an integer or empty, got \"abc\"\n"),
    ("/echo?msg=x&code=204", 204, ""), ("/healthz", 200, ""), ("/readyz", 200, "ok"), ("/header?key=x-y", 200, "Zz"),
    ("/header", 200, '{"Accept-Encoding":["identity"],"X-Y":["Zz"]}'),
    ("/envvar?var=FL_TEST", 200, "Value"), ("/envvar", 400, "'var' query parameter is required\n"),
    ("/envvar?var=NOPE", 500, 'env var "NOPE" is not set\n'),
    ("/dial", 400, "request parameter not specified. <nil>\n"),
    ("/dial?request=x&host=127.0.0.1&port=99999", 400, "host and/or port param are invalid. address 99999: invalid port\n"),
    ("/dial?request=x&tries=q", 400, 'tries parameter is invalid. strconv.Atoi: parsing "q": invalid syntax\n'),
    ("/dial?request=x&protocol=icmp", 400, "unsupported protocol. icmp\n"),
    ("/dial?host=127.0.0.1&port=UDP&request=hostname&protocol=udp&tries=2", 200, '{"responses":["%s","%s"]}' % (NAME, NAME)),
    ("/dial?host=127.0.0.1&port=HTTP&request=echo%3Fmsg=%22%3Cq%3E", 200, '{"responses":["\\"\\u003cq\\u003e"]}'),
    ("/dial?host=127.0.0.1&port=1&request=x&tries=2", 200, '{"errors":[%s]}' % ",".join(
        ['"Get \\"http://127.0.0.1:1/x\\": dial tcp 127.0.0.1:1: connect: connection refused"'] * 2)),
    ("/shell?cmd=echo%20a%3B%20exit%203", 200, '{"error":"exit status 3","output":"a\\n"}'), ("/shell?cmd=true", 200, "{}"),
    ("/shell?shellCommand=kill%20-9%20$$", 200, '{"error":"signal: killed"}'),
    ("/redirect?location=/echo%3Fmsg=foobar&code=307", 307, '<a href="/echo?msg=foobar">Temporary Redirect</a>.\n\n'),
    ("/redirect?location=x/../y", 302, '<a href="/y">Found</a>.\n\n'),
    ("/exit?wait=q", 200, "argument 'wait' must be a valid golang duration or empty, got \"q\"\n"), ("/upload", 200, '{"error":"Unable to upload file."}'),
])
def test_netexec_http(netexec, target, status, body):
    target = target.replace("UDP", str(netexec.udp_port)).replace("HTTP", str(netexec.port))
    assert netexec.get(target, headers={"x-y": "Zz"}) == (status, body)


def test_netexec_more(netexec):
    status, body = netexec.get("/clientip")
    assert status == 200 and re.fullmatch(r"127\.0\.0\.1:\d+", body)
    assert netexec.get("/serverport") == (200, str(netexec.port))
    assert re.fullmatch(r"NOW: \d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d+)? [+-]\d{4} \w+ m=\+\d+\.\d{9}", netexec.get("/any/other")[1])
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    assert netexec.get("/echo?msg=query", "POST", "msg=posted", form) == (200, "posted")
    assert netexec.get("/hostname", "HEAD") == (200, "") and netexec.headers["Content-Length"] == str(len(NAME))
    with socket.create_connection(("127.0.0.1", netexec.port)) as s:            # pipelined; then rubbish
        s.sendall(b"GET /healthz HTTP/1.1\r\n\r\nPOST /echo HTTP/1.1\r\nTransfer-Encoding: chunked\r\n"
                  b"Content-Type: application/x-www-form-urlencoded\r\n\r\n6\r\nmsg=ab\r\n1\r\nc\r\n0\r\n\r\nrubbish\r\n\r\n")
        got = b""
        while chunk := s.recv(4096):
            got += chunk
    assert got.startswith(b"HTTP/1.1 200 OK") and b"\r\n\r\nabc" in got and b"HTTP/1.1 400 Bad Request" in got


@pytest.mark.parametrize("head,body,end", [
    ("Transfer-Encoding: chunked", "3\r\nabc\r\n0;x\r\nTrailer: v\r\n\r\n", "200"),
    ("Transfer-Encoding: chunked", "3\r\nabcXX0\r\n\r\n", "400"), ("Transfer-Encoding: chunked", "3 z\r\nabc\r\n0\r\n\r\n", "400"),
    ("Transfer-Encoding: chunked", "00000000000000000003\r\nabc\r\n0\r\n\r\n", "400"), ("Content-Length: +3", "abc", "400"),
    ("Content-Length: -0", "", "400")])
def test_netexec_where_a_request_ends(netexec, head, body, end):
    with socket.create_connection(("127.0.0.1", netexec.port)) as s:
        s.sendall(f"POST /echo HTTP/1.1\r\n{head}\r\n\r\n{body}GET /hostname HTTP/1.1\r\nConnection: close\r\n\r\n".encode())
        got = b""
        while chunk := s.recv(4096):
            got += chunk
    answers = re.findall(rb"HTTP/1.1 (\d+)", got)
    assert answers == ([b"200", b"200"] if end == "200" else [b"400"])


@pytest.mark.parametrize("text,reply", [(b"hostname\n", NAME.encode()), (b" ECHO Abc  d ", b"abc  d"), (b"echo", None), (b"bogus", None),
                                        (b"envvar FL_TEST", b"Value"), (b"envvar NOPE", b"")])
def test_netexec_udp(netexec, text, reply):
    assert netexec.udp(text, netexec.udp_port) == reply
    dest = f"127.0.0.1:{netexec.udp_port}"
    assert agnhost("connect", "--protocol", "udp", "--timeout", "20s", dest) == (0, "", "")


def test_netexec_ends():
    for ask, code in [("/exit?code=7&timeout=5s", 7), ("/exit?code=3", 3), ("/shutdown", 0)]:
        port = free_port()
        with Program("netexec", "--http-port", port, "--udp-port", -1, ready=port) as p:
            assert p.get("/healthz")[0] == 412
            try:
                p.get(ask)
            except (http.client.HTTPException, OSError):
                pass
            assert p.process.wait(20) == code
    port = free_port()
    with Program("netexec", "--http-port", port, "--udp-port", 0, "--delay-shutdown", 600, "--http-override", "/readyz", ready=port) as p:
        assert p.get("/whatever") == (200, "ok")
        p.process.send_signal(signal.SIGTERM)
        end = time.time() + 20
        while p.get("/") == (200, "ok") and time.time() < end:
            time.sleep(0.02)
        assert p.get("/") == (503, "shutting down")
    port = free_port()
    with Program("netexec", "--http-port", port, "--udp-port", -1, program=FAIRCTL, ready=port) as p:
        assert p.get("/shell?cmd=id")[0] == 403 and p.get("/upload")[0] == 403
        p.process.send_signal(signal.SIGTERM)
        assert p.process.wait(20) == 0


def test_netexec_tls(tmp_path):
    make_certificates(tmp_path)
    port = free_port()
    with Program("netexec", "--http-port", port, "--udp-port", -1, "--tls-cert-file", tmp_path / "server.crt", "--tls-private-key-file",
                 tmp_path / "server.key", ready=port):
        ctx = ssl.create_default_context()
        ctx.check_hostname, ctx.verify_mode = False, ssl.CERT_NONE
        c = http.client.HTTPSConnection("127.0.0.1", port, timeout=30, context=ctx)
        c.request("GET", "/hostname")
        assert c.getresponse().read().decode() == NAME


def test_serve_hostname():
    port = free_port()
    with Program("serve-hostname", "--port", port, "--close", ready=port) as p:
        assert p.get("/x") == (200, NAME) and p.headers["Connection"] == "close"
    with Program("serve-hostname", "--http=false", "--tcp", "--udp", "--port", port, ready=port) as p:
        with socket.create_connection(("127.0.0.1", port)) as s:
            assert s.recv(300).decode() == NAME
        assert p.udp(b"x", port).decode() == NAME
    code, _, err = agnhost("serve-hostname", "--tcp")
    assert code == 1 and "Can't server TCP/UDP mode and HTTP mode at the same time" in err


@pytest.mark.parametrize("sig,word,code", [(signal.SIGTERM, "terminated", 2), (signal.SIGINT, "interrupt", 1)])
def test_pause(tmp_path, sig, word, code):
    with Program("pause", env={"TERMINATION_MESSAGE_PATH": str(tmp_path / "log")}) as p:
        assert p.process.stdout.readline() == b"Paused\n" and p.process.stdout.readline() == b"Signals registered\n"
        p.process.send_signal(sig)
        assert p.process.wait(20) == code
        assert p.process.stdout.read().decode() == (tmp_path / "log").read_text() == f'exiting because of signal "{word}"\n'


def test_sleep():
    sleep = pathlib.Path(FAIRCTL).parent / "sleep"
    start = time.time()
    assert run("0.2", "0.1s", program=sleep).returncode == 0 and time.time() - start >= 0.3
    p = run("nonsense", program=sleep)
    assert p.returncode == 1 and p.stderr == "sleep: invalid time interval 'nonsense'\n"

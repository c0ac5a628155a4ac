"""fairctl top: from the metrics (CoreDNS's too) and from the status page, in a terminal and without one, with servers that are none."""
import fcntl, json, os, pty, select, signal, socket, struct, subprocess, termios, threading, time
import dns.message, pytest
from coredns import coredns, needs_coredns
from server import ROOT, Server, free_port

FAIRCTL = os.environ.get("FAIRCTL", str(ROOT / "build/fairctl"))
COREFILE = ".:{port} {\n bind 127.0.0.1\n prometheus 127.0.0.1:{m}\n dashboard 127.0.0.1:{d} {\n  clients\n }\n cache 30\n whoami\n}\n"


def top(*args, timeout=120):
    return subprocess.run([FAIRCTL, "top", *args], capture_output=True, text=True, timeout=timeout, stdin=subprocess.DEVNULL)


def server():
    return Server(COREFILE, m=free_port(), d=free_port())


def asked(s, n=10):
    for _ in range(n):
        assert s.udp(dns.message.make_query("often.test.", "A").to_wire())


def test_once_from_the_page():
    with server() as s:
        asked(s)
        end, text = time.monotonic() + 60, ""
        while "10 in all" not in text and time.monotonic() < end:
            got = top("--dashboard", f"127.0.0.1:{s.names['d']}")
            assert got.returncode == 0, got.stderr
            text = got.stdout
        assert "often.test." in text and "100.0 %" in text and "127.0.0.1" in text and "NOERROR" in text and "whoami" in text and "\033" not in text


def test_once_from_the_metrics():
    with server() as s:
        asked(s)
        got = top("--server", f"127.0.0.1:{s.names['m']}", "--interval", "200ms", "--once")
        assert got.returncode == 0 and "10 in all" in got.stdout and "often.test." not in got.stdout
        got = top("--server", f"127.0.0.1:{s.names['m']}", "--interval", "200ms", "--output", "json")
        j = json.loads(got.stdout)
        assert j["top"] is None and j["view"]["queries"]["total"] == 10 and 0.1 < j["view"]["seconds"] < 20 and not j["view"]["since_start"]


@needs_coredns
def test_coredns():
    s = coredns(".:{port} {\n bind 127.0.0.1\n prometheus 127.0.0.1:{m}\n cache 30\n forward . 127.0.0.1:{gone}\n}\n", m=free_port(), gone=free_port())
    with s:
        s.udp(dns.message.make_query("a.test.", "A").to_wire(), timeout=10)
        got = top("--server", f"127.0.0.1:{s.names['m']}", "--interval", "200ms")
        assert got.returncode == 0 and got.stdout.startswith("1.15.0 at ") and "SERVFAIL" in got.stdout and "entries" in got.stdout


def answer_with(text):
    """A server that says this to one client, and holds the connection."""
    l = socket.create_server(("127.0.0.1", 0))

    def serve():
        c, _ = l.accept()
        c.recv(1000)
        if text is None:
            time.sleep(30)
        else:
            c.sendall(text)
        c.close()
        l.close()
    threading.Thread(target=serve, daemon=True).start()
    return f"127.0.0.1:{l.getsockname()[1]}"


def test_what_is_no_server():
    assert (got := top("--server", f"127.0.0.1:{free_port()}")).returncode == 1 and "connection refused" in got.stderr
    for text in (b"", b"hello", b"HTTP/1.0 500 No\r\n\r\n", b"HTTP/1.0 200 OK\r\n", b"\0" * 1000):
        got = top("--dashboard", answer_with(text))
        assert got.returncode == 1 and got.stderr.startswith("fairctl top: Get "), text
    for body in (b"", b"{", b"[]", b"{}", b'{"view":3}', b'{"view":' * 2000):
        assert top("--dashboard", answer_with(b"HTTP/1.0 200 OK\r\n\r\n" + body)).returncode == 1
    odd = b'{"view":{"rcodes":[{"name":"\\u001b[31m<x>\\u009b5m\\u00e4","rate":1e400},3,null],"kubernetes":{},"upstreams":[[]],"latency":"x"},"top":{"names":[{"name":5}]}}'
    got = top("--dashboard", answer_with(b"HTTP/1.0 200 OK\r\n\r\n" + odd))
    assert got.returncode == 0 and "\033" not in got.stdout and "?[31m<x>?5m\u00e4" in got.stdout
    began = time.monotonic()
    assert (got := top("--server", answer_with(None))).returncode == 1 and "i/o timeout" in got.stderr and 4 < time.monotonic() - began < 20
    assert top("--server", "a:1", "--dashboard", "b:1").returncode == 2 and top("--interval", "1ms").returncode == 2 and top("--server", "x").returncode == 1


def screen(fd, until, seconds=60):
    """What a terminal got so far, when `until` says so."""
    end, got = time.monotonic() + seconds, b""
    while not until(got):
        assert time.monotonic() < end, got
        if select.select([fd], [], [], 0.1)[0]:
            got += os.read(fd, 65536)
    return got


@pytest.mark.parametrize("how", ["q", "signal"])
def test_in_a_terminal(how):
    with server() as s:
        asked(s)
        pid, fd = pty.fork()
        if not pid:
            os.execv(FAIRCTL, [FAIRCTL, "top", "--dashboard", f"127.0.0.1:{s.names['d']}", "--interval", "200ms"])
        fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        got = screen(fd, lambda b: b.count(b"\033[J") >= 4 and b"10 in all" in b)
        assert got.count(b"\033[?1049h") == 1 and b"often.test." in got
        last = got.rsplit(b"\033[H", 2)[1].split(b"\033[J")[0].replace(b"\033[K", b"").replace(b"\r", b"")
        lines = last.split(b"\n")
        assert len(lines) <= 24 and max(map(len, lines)) <= 80
        os.kill(pid, signal.SIGTERM) if how == "signal" else os.write(fd, b"q")
        assert b"\033[?1049l" in screen(fd, lambda b: b"\033[?1049l" in b)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        os.close(fd)


def test_a_terminal_whose_server_goes():
    s = server()
    with s:
        pid, fd = pty.fork()
        if not pid:
            os.execv(FAIRCTL, [FAIRCTL, "top", "--server", f"127.0.0.1:{s.names['m']}", "--interval", "200ms"])
        screen(fd, lambda b: b"in all" in b)
        s.signal("SIGKILL")
        screen(fd, lambda b: b"connection refused" in b)
        os.write(fd, b"q")
        screen(fd, lambda b: b"\033[?1049l" in b)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        os.close(fd)

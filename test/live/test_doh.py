"""https:// and grpc:// listeners from outside: both versions of HTTP, statuses as CoreDNS gives them, clients that behave badly."""
import base64, shutil, socket, ssl, subprocess, time
import dns.message, dns.rcode
import pytest
from coredns import coredns, needs_coredns
from server import Server, take
from test_tls import Tls, closed, query
from tlstools import connect

h2 = pytest.importorskip("h2", reason="python3-h2 is not installed")
import h2.config, h2.connection, h2.errors, h2.events, h2.exceptions, h2.settings  # noqa: E402

COREFILE = """https://.:{port} {
    tls {dir}/srv.pem {dir}/srv.key
    timeouts {
        read {read}
        write {write}
        idle {idle}
    }
    OPTIONS
    prometheus 127.0.0.1:{port2}
}
"""
GRPC = COREFILE.replace("https://", "grpc://")
TYPE = "application/dns-message"


def get(message):
    return "/dns-query?dns=" + base64.urlsafe_b64encode(message).rstrip(b"=").decode()


class H2:
    """A client of HTTP/2 that can also misbehave."""

    def __init__(self, sock):
        self.s = sock
        self.c = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True, header_encoding="utf-8",
                                                                      validate_outbound_headers=False,
                                                                      normalize_outbound_headers=False))
        self.c.initiate_connection()
        self.answers, self.resets, self.goaway, self.trailers = {}, {}, None, {}
        self.flush()

    def flush(self):
        self.s.sendall(self.c.data_to_send())

    def send(self, method, path, body=None, extra=(), end=True, flush=True):
        stream = self.c.get_next_available_stream_id()
        head = [(":method", method), (":scheme", "https"), (":authority", "localhost"), (":path", path), *extra]
        self.c.send_headers(stream, head, end_stream=body is None and end)
        if body is not None:
            for at in range(0, max(len(body), 1), 16384):
                part = body[at:at + 16384]
                self.c.send_data(stream, part, end_stream=end and at + 16384 >= len(body))
        if flush:
            self.flush()
        return stream

    def take(self):
        """Handles what comes next; False at the end."""
        data = self.s.recv(65536)
        if not data:
            return False
        for e in self.c.receive_data(data):
            if isinstance(e, h2.events.ResponseReceived):
                self.answers[e.stream_id] = [dict(e.headers), b"", False]
            elif isinstance(e, h2.events.DataReceived):
                self.answers[e.stream_id][1] += e.data
                self.c.acknowledge_received_data(e.flow_controlled_length, e.stream_id)
            elif isinstance(e, h2.events.TrailersReceived):
                self.trailers[e.stream_id] = dict(e.headers)
            elif isinstance(e, h2.events.StreamEnded):
                self.answers[e.stream_id][2] = True
            elif isinstance(e, h2.events.StreamReset):
                self.resets[e.stream_id] = e.error_code
            elif isinstance(e, h2.events.ConnectionTerminated):
                self.goaway = e.error_code
        out = self.c.data_to_send()
        if out:
            self.s.sendall(out)
        return True

    def wait(self, stream):
        while stream not in self.resets and not (stream in self.answers and self.answers[stream][2]):
            if not self.take():
                raise EOFError
        return self.answers.get(stream)

    def until_closed(self):
        try:
            while self.take():
                pass
        except (OSError, h2.exceptions.ProtocolError):
            pass


def doh(options="whoami", **kw):
    return Tls(options, corefile=COREFILE, **kw)


def client(srv):
    s = connect(srv.port, srv.ctx(alpn=["h2"]))
    assert s.selected_alpn_protocol() == "h2"
    return H2(s)


def http1(s, request, head=False):
    """(status, fields, body) of one answer."""
    if request:
        s.sendall(request)
    raw = b""
    while b"\r\n\r\n" not in raw:
        got = s.recv(1)
        if not got:
            raise EOFError
        raw += got
    lines = raw.decode().split("\r\n")
    fields = {k.lower(): v for k, v in (line.split(": ", 1) for line in lines[1:] if line)}
    body = b"" if head else take(s, int(fields.get("content-length", 0)))
    return int(lines[0].split()[1]), fields, body


def post(message, extra=""):
    return (f"POST /dns-query HTTP/1.1\r\nHost: x\r\nContent-Type: {TYPE}\r\nContent-Length: {len(message)}\r\n{extra}\r\n").encode() + message


def test_http2():
    with doh() as srv:
        c = client(srv)
        q = query("example.org", qid=7)
        for stream in (c.send("GET", get(q)), c.send("POST", "/dns-query", q, [("content-type", TYPE)]),
                       c.send("GET", "/dns-query?a=b&" + get(q).split("?")[1] + "&c"),
                       c.send("POST", "/dns%2dquery?x", q)):
            head, body, _ = c.wait(stream)
            assert head[":status"] == "200" and head["content-type"] == TYPE and head["cache-control"] == "max-age=0"
            assert int(head["content-length"]) == len(body) and "date" in head
            assert dns.message.from_wire(body).id == 7
        srv.wait_metric('coredns_dns_https_responses_total{server="https://:%d",status="200"}' % srv.port, 4)
        assert srv.metric('coredns_dns_requests_total{family="1",proto="tcp",server="https://:%d"' % srv.port) == 4
        c.s.close()


def test_statuses():
    """What CoreDNS says to requests that it does not take, by both versions."""
    q = query("example.org")
    b64 = get(q).split("=", 1)[1]
    rows = [("GET", "/", None, 404, b"\n"), ("GET", "/dns-query/", None, 404, b"\n"), ("POST", "/dns", q, 404, b"\n"),
            ("GET", "/dns-query", None, 400, None), ("GET", "/dns-query?dns=", None, 400, None),
            ("GET", f"/dns-query?dns={b64}=", None, 400, None), ("GET", f"/dns-query?dns={b64}&dns={b64}", None, 400, None),
            ("GET", "/dns-query?dns=AAAA", None, 400, None), ("GET", "/dns-query?dns=%zz", None, 400, None),
            ("PUT", "/dns-query", q, 400, None), ("POST", "/dns-query", b"", 400, None), ("POST", "/dns-query", b"x" * 40, 400, None),
            ("POST", "/dns-query", b"\0" * 65600, 400, None),
            ("GET", f"/dns-query?dns={b64[:8]}%0A{b64[8:]}", None, 200, None), ("GET", f"/dns-query?%64ns={b64}", None, 200, None),
            ("GET", f"/dns-query?dns=%zz&dns={b64}", None, 200, None)]
    with doh() as srv:
        c = client(srv)
        s = connect(srv.port, srv.ctx(alpn=["http/1.1"]))
        for method, path, body, status, text in rows:
            text = text if text is not None else b"invalid request\n" if status == 400 else None
            head, got, _ = c.wait(c.send(method, path, body))
            assert int(head[":status"]) == status and (text is None or got == text), (method, path, head, got)
            if status != 200:
                assert head["content-type"] == "text/plain; charset=utf-8" and head["x-content-type-options"] == "nosniff"
            request = f"{method} {path} HTTP/1.1\r\nHost: x\r\n" + (f"Content-Length: {len(body)}\r\n" if body is not None else "") + "\r\n"
            code, fields, got = http1(s, request.encode() + (body or b""))
            assert code == status and (text is None or got == text), (method, path, code, got)
        code, fields, _ = http1(s, f"HEAD /dns-query?dns={b64} HTTP/1.1\r\nHost: x\r\n\r\n".encode(), head=True)
        assert code == 400
        code, fields, body = http1(s, post(q))          # the connection still stands
        assert code == 200 and dns.message.from_wire(body).rcode() == 0
        s.close()
        c.s.close()


def test_nobody_answers():
    with doh("erratic {\n drop 1\n }") as srv:
        c = client(srv)
        head, body, _ = c.wait(c.send("GET", get(query("example.org"))))
        assert head[":status"] == "500" and body == b"No response\n"
        c.s.close()


def test_age():
    """max-age is the least TTL, of all sections; 5 for errors."""
    with doh("""template IN A a.test {
        answer "{{ .Name }} 300 IN A 192.0.2.1"
        additional "x.test 77 IN A 192.0.2.2"
    }
    template IN A long.test {
        answer "{{ .Name }} 86400 IN A 192.0.2.1"
    }
    template IN A no.test {
        rcode NXDOMAIN
        authority "test 40 IN SOA a.test b.test 1 2 3 4 5"
    }
    template IN A fail.test {
        rcode SERVFAIL
    }
    template IN A empty.test {
        rcode NOERROR
    }""") as srv:
        c = client(srv)
        for name, age in (("a.test", 77), ("long.test", 3600), ("no.test", 40), ("fail.test", 5), ("empty.test", 5), ("other.test", 5)):
            for kw in ({}, {"use_edns": 0}):
                head, _, _ = c.wait(c.send("GET", get(query(name, **kw))))
                assert head["cache-control"] == f"max-age={age}", name
        c.s.close()


def test_http1():
    """Kept connections, pipelines, bodies in chunks and in small pieces, 100-continue, absolute targets, HTTP/1.0."""
    q = query("example.org", qid=9)
    with doh() as srv:
        s = connect(srv.port, srv.ctx(alpn=["http/1.1"]))
        for _ in range(3):
            assert http1(s, post(q))[0] == 200
        for i in range(0, len(post(q)), 3):
            s.sendall(post(q)[i:i + 3])
        assert http1(s, b"")[0] == 200
        n = 200
        s.sendall(b"".join(post(query("example.org", qid=i)) for i in range(n)))
        assert [dns.message.from_wire(http1(s, b"")[2]).id for i in range(n)] == list(range(n))
        chunked = (b"POST /dns-query HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" +
                   b"".join(b"%x;a=b\r\n%s\r\n" % (len(q[i:i + 7]), q[i:i + 7]) for i in range(0, len(q), 7)) + b"0\r\nA: b\r\n\r\n")
        assert dns.message.from_wire(http1(s, chunked)[2]).id == 9
        s.sendall(post(q, "Expect: 100-continue\r\n")[:-len(q)])
        assert take(s, 25) == b"HTTP/1.1 100 Continue\r\n\r\n"
        assert http1(s, q)[0] == 200
        assert http1(s, f"GET https://localhost{get(q)} HTTP/1.1\r\nHost: x\r\n\r\n".encode())[0] == 200
        code, fields, _ = http1(s, f"GET {get(q)} HTTP/1.0\r\nConnection: keep-alive\r\n\r\n".encode())
        assert code == 200 and fields["connection"] == "keep-alive"
        code, fields, _ = http1(s, f"GET {get(q)} HTTP/1.0\r\n\r\n".encode())
        assert code == 200 and "connection" not in fields and closed(s)
        s.close()


def test_http1_garbage():
    with doh() as srv:
        for bad, status in ((b"\0" * 100 + b"\r\n\r\n", 400), (b"GET /dns-query HTTP/1.1\r\n\r\n", 400), (b"GET / HTTP/2.0\r\nHost: x\r\n\r\n", 505),
                            (b"GET / HTTP/1.1\r\nHost: x\r\n" + b"A: b\r\n" * 4000 + b"\r\n", 431),
                            (b"GET /" + b"a" * 20000 + b" HTTP/1.1\r\n", 431),
                            (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
                            (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
                            (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505)):
            s = connect(srv.port, srv.ctx(alpn=["http/1.1"]))
            assert http1(s, bad)[0] == status, bad[:60]
            assert closed(s)
            s.close()
        srv.wait_metric('fairlead_http_aborted_total{reason="large"}', 8)


def test_plain():
    """Without tls: HTTP/1.1 in the clear, and no h2c, as CoreDNS."""
    with Server("https://.:{port} {\n whoami\n}\n") as srv:
        with socket.create_connection(("127.0.0.1", srv.port), 10) as s:
            assert http1(s, post(query("example.org")))[0] == 200
        with socket.create_connection(("127.0.0.1", srv.port), 10) as s:
            assert http1(s, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")[0] == 505


def test_alpn():
    with doh() as srv:
        for offer, said in ((["http/1.1", "h2"], "h2"), (["http/1.1"], "http/1.1"), ([], None)):
            with connect(srv.port, srv.ctx(alpn=offer)) as s:
                assert s.selected_alpn_protocol() == said
        with pytest.raises(ssl.SSLError):
            connect(srv.port, srv.ctx(alpn=["spdy/3"]))
        with connect(srv.port, srv.ctx()) as s:
            assert http1(s, post(query("example.org")))[0] == 200


def test_slow_clients():
    """A request that does not become whole, a connection that says nothing, an answer that nobody takes."""
    big = "\n".join(f'answer "{{{{ .Name }}}} 60 IN TXT {i:03d}{"x" * 240}"' for i in range(200))
    with doh("template IN TXT big.test {\n%s\n}\nwhoami" % big, read="1s", write="2s", idle="2s") as srv:
        c = client(srv)
        stream = c.send("POST", "/dns-query", b"\0" * 20, end=False)
        assert c.wait(stream) is None and c.resets[stream] == h2.errors.ErrorCodes.CANCEL
        assert c.wait(c.send("GET", get(query("example.org"))))[0][":status"] == "200"
        c.until_closed()                                # it idles
        assert c.goaway == h2.errors.ErrorCodes.NO_ERROR
        mute = connect(srv.port, srv.ctx(alpn=["h2"]))
        assert closed(mute)
        one = connect(srv.port, srv.ctx(alpn=["http/1.1"]))
        one.sendall(post(query("example.org"))[:-5])
        assert closed(one)
        srv.wait_metric('fairlead_http_aborted_total{reason="slow"}', 3)
        c = client(srv)
        c.c.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 0})
        c.flush()
        stream = c.send("GET", get(query("big.test", "TXT")))
        while stream not in c.resets:
            assert c.take()
        srv.wait_metric('fairlead_http_aborted_total{reason="slow"}', 4)
        for s in (mute, one, c.s):
            s.close()


def test_many_streams():
    """As many at once as the listener says; more are refused, and all that was taken is answered."""
    with doh("https {\n max_streams 20\n }\n whoami") as srv:
        c = client(srv)
        while not c.c.remote_settings.max_concurrent_streams == 20:
            c.take()
        for round_ in range(20):
            streams = [c.send("GET", get(query("example.org", qid=i)), flush=False) for i in range(20)]
            c.flush()
            for i, stream in enumerate(streams):
                assert dns.message.from_wire(c.wait(stream)[1]).id == i
        c.c.remote_settings[h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS] = 1000
        c.c.remote_settings.acknowledge()
        streams = [c.send("POST", "/dns-query", b"\0", end=False, flush=False) for _ in range(40)]
        c.flush()
        end = time.time() + 10
        while len(c.resets) < 20 and c.goaway is None and time.time() < end:
            if not c.take():
                break
        assert len(c.resets) >= 20 or c.goaway is not None
        c.s.close()


def test_rapid_reset():
    """Requests that are reset as soon as they are sent: the connection is closed, others are served all the while."""
    with doh() as srv:
        c, other = client(srv), client(srv)
        try:
            for _ in range(100):
                for _ in range(50):
                    stream = c.send("GET", get(query("example.org")), flush=False)
                    c.c.reset_stream(stream, h2.errors.ErrorCodes.CANCEL)
                c.flush()
                assert other.wait(other.send("GET", get(query("example.org"))))[0][":status"] == "200"
            c.until_closed()
        except (OSError, EOFError, h2.exceptions.ProtocolError):
            c.until_closed()
        srv.wait_metric('fairlead_http_aborted_total{reason="calmed"}', 1)
        assert other.wait(other.send("GET", get(query("example.org"))))[0][":status"] == "200"
        c.s.close()
        other.s.close()


def test_frames_that_lead_nowhere():
    with doh() as srv:
        c = client(srv)
        try:
            for _ in range(400):
                for _ in range(100):
                    c.c.ping(b"12345678")
                c.flush()
                c.s.settimeout(0.01)
                try:
                    c.take()
                except socket.timeout:
                    pass
                c.s.settimeout(10)
        except (OSError, h2.exceptions.ProtocolError):
            pass
        c.until_closed()
        end = time.time() + 10
        while time.time() < end and not srv.metric("fairlead_http_aborted_total"):
            time.sleep(0.1)
        assert srv.metric('fairlead_http_aborted_total{reason="calmed"}') + srv.metric('fairlead_http_aborted_total{reason="large"}') >= 1
        c.s.close()


def test_large_header():
    with doh() as srv:
        c = client(srv)
        head, _, _ = c.wait(c.send("GET", get(query("example.org")), extra=[(f"x-{i}", "y" * 1000) for i in range(20)]))
        assert head[":status"] == "431"
        assert c.wait(c.send("GET", get(query("example.org"))))[0][":status"] == "200"
        c.s.close()


def test_bodies_do_not_gather():
    """More bodies under way than the window holds: they wait, and nothing is lost."""
    with doh("https {\n max_streams 100\n }\n whoami") as srv:
        c = client(srv)
        streams = [c.send("POST", "/dns-query", b"", end=False) for _ in range(30)]
        window = c.c.outbound_flow_control_window
        assert window <= 128 * 1024
        for stream in streams:
            c.c.send_data(stream, query("example.org"), end_stream=True)
        c.flush()
        for stream in streams:
            assert c.wait(stream)[0][":status"] == "200"
        total = 0
        for _ in range(30):                             # much more than one window in all
            head, _, _ = c.wait(c.send("POST", "/dns-query", b"\0" * 16000))
            total += 16000
            assert head[":status"] == "400"
        assert total > 3 * 128 * 1024
        c.s.close()


def test_max_connections():
    """One more than allowed closes the one of its shard that idled longest; where none idles, it is closed itself."""
    with doh("https {\n max_connections 3\n }\n whoami") as srv:
        clients = []
        for _ in range(8):
            try:
                c = client(srv)
                clients.append(c)
                assert c.wait(c.send("GET", get(query("example.org"))))[0][":status"] == "200"
            except (OSError, EOFError):
                pass
        srv.wait_metric('fairlead_tcp_connections_closed_total{reason="limit"}', 5)
        srv.wait_metric("fairlead_tcp_connections", most=3)
        assert len(clients) >= 3
        for c in clients:
            c.s.close()


def test_half_closed():
    q = query("example.org", qid=3)
    with Server("https://.:{port} {\n forward . 127.0.0.1:{port2}\n}\n.:{port2} {\n erratic {\n drop 0\n delay 1 300ms\n }\n}\n") as srv:
        with socket.create_connection(("127.0.0.1", srv.port), 10) as s:
            s.sendall(post(q))
            s.shutdown(socket.SHUT_WR)
            code, _, body = http1(s, b"")
            assert code == 200 and dns.message.from_wire(body).id == 3
        with socket.create_connection(("127.0.0.1", srv.port), 10) as s:       # gone while the question is out
            s.sendall(post(q) * 3)
        with socket.create_connection(("127.0.0.1", srv.port), 10) as s:
            assert http1(s, post(q))[0] == 200


def test_reload():
    """Connections of a listener that stays live on, requests in work are answered by the configuration that took them."""
    with doh() as srv:
        c = client(srv)
        assert c.wait(c.send("GET", get(query("example.org"))))[0][":status"] == "200"
        srv.write(COREFILE.replace("OPTIONS", "template IN A {\n rcode NXDOMAIN\n }"))
        srv.signal("SIGUSR1")
        srv.wait_log("Reloading complete")
        assert dns.message.from_wire(c.wait(c.send("GET", get(query("example.org"))))[1]).rcode() == dns.rcode.NXDOMAIN
        c.s.close()


# ---- gRPC ----

def wrapped(message, flag=0):
    n, key = len(message), b"\x0a"
    while n > 127:
        key += bytes([n & 127 | 128])
        n >>= 7
    body = key + bytes([n]) + message
    return bytes([flag]) + len(body).to_bytes(4, "big") + body


def call(c, body, path="/coredns.dns.DnsService/Query", extra=(("te", "trailers"), ("content-type", "application/grpc"))):
    stream = c.send("POST", path, body, extra)
    head, body, _ = c.wait(stream)
    return head, body, {**head, **c.trailers.get(stream, {})}.get("grpc-status")


@pytest.mark.parametrize("tls", [True, False])
def test_grpc(tls):
    corefile = GRPC if tls else GRPC.replace("tls {dir}/srv.pem {dir}/srv.key", "")
    with Tls("whoami", corefile=corefile) as srv:
        c = client(srv) if tls else H2(socket.create_connection(("127.0.0.1", srv.port), 10))
        q = query("example.org", qid=5)
        head, body, status = call(c, wrapped(q))
        assert head[":status"] == "200" and head["content-type"] == "application/grpc" and status == "0"
        assert body[0] == 0 and int.from_bytes(body[1:5], "big") == len(body) - 5 and body[5] == 10
        assert dns.message.from_wire(body[7 if body[6] < 128 else 8:]).id == 5
        unknown = b"\x10\x05\x1a\x02hi" + wrapped(q)[5:] + b"\x25abcd"
        assert call(c, b"\0" + len(unknown).to_bytes(4, "big") + unknown)[2] == "0"
        for body, want in ((b"", "13"), (b"\0\0\0", "13"), (wrapped(q, 1), "12"), (wrapped(q)[:-1], "13"), (wrapped(b"x" * 30), "2"),
                           (b"\0\0\0\0\2\x0a\x50", "13"), (b"\0\xff\xff\xff\xff", "8"), (b"\0\0\0\0\0", "2"), (wrapped(b"\0" * 65600), "8")):
            assert call(c, body)[2] == want, body[:20]
        for path in ("/coredns.dns.DnsService/Ask", "/grpc.health.v1.Health/Check", "/x"):
            assert call(c, wrapped(q), path)[2] == "12"
        assert call(c, wrapped(q), extra=[("content-type", "text/plain")])[0][":status"] == "415"
        assert c.wait(c.send("GET", "/coredns.dns.DnsService/Query", extra=[("content-type", "application/grpc")]))[0][":status"] == "405"
        assert srv.metric('coredns_dns_requests_total{family="1",proto="tcp",server="grpc://:%d"' % srv.port) == 2
        c.s.close()


def test_grpc_clients_may_idle():
    """They open their channel before they need it, and keep it: neither `read` nor `idle` ends that."""
    with Tls("whoami", corefile=GRPC, read="1s", idle="2s") as srv:
        c = client(srv)
        time.sleep(3)
        assert call(c, wrapped(query("example.org")))[2] == "0"
        c.s.close()


@needs_coredns
def test_grpc_of_coredns():
    """The plugin grpc of the real CoreDNS as the client."""
    with Tls("whoami", corefile=GRPC) as srv:
        up = """.:{port} {
            grpc . 127.0.0.1:%d {
                tls {dir}/ca.pem
                tls_servername localhost
            }
        }
        """ % srv.port
        front = coredns(None)
        (front.dir / "ca.pem").write_bytes(srv.ca.pem())
        front.write(up)
        with front as f:
            for i in range(20):
                reply = f.udp(query("example.org", qid=i), timeout=20)
                assert reply and dns.message.from_wire(reply).id == i


@pytest.mark.skipif(not shutil.which("kdig"), reason="kdig is not installed")
@pytest.mark.parametrize("how", ["+https", "+https-get"])
def test_kdig(how):
    with doh() as srv:
        p = subprocess.run(["kdig", how, f"+tls-ca={srv.dir}/ca.pem", "+tls-hostname=localhost", "@127.0.0.1", "-p", str(srv.port), "+padding",
                            "example.org", "+retry=0"], capture_output=True, text=True, timeout=30)
        assert "status: NOERROR" in p.stdout and "Received 468 B" in p.stdout, p.stdout + p.stderr


@pytest.mark.skipif(not shutil.which("curl"), reason="curl is not installed")
@pytest.mark.parametrize("version", ["--http1.1", "--http2"])
def test_curl(version):
    with doh() as srv:
        q = query("example.org", qid=1)
        (srv.dir / "q").write_bytes(q)
        p = subprocess.run(["curl", "-s", version, "--cacert", srv.dir / "ca.pem", "--data-binary", f"@{srv.dir}/q", "-H", f"content-type: {TYPE}",
                            f"https://localhost:{srv.port}/dns-query", "--connect-to", f"localhost:{srv.port}:127.0.0.1:{srv.port}"],
                           capture_output=True, timeout=30)
        assert p.returncode == 0 and dns.message.from_wire(p.stdout).id == 1

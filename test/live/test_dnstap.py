"""dnstap to a reader of our own, over every transport, and to the tools that Debian has."""
import contextlib, pathlib, shutil, signal, socket, ssl, struct, subprocess, threading, time
import dns.message, dns.rcode, pytest
from k8spb import read_varint
from server import Server, free_port, metric

CONTENT = b"protobuf:dnstap.Dnstap"
ACCEPT, START, STOP, READY, FINISH = 1, 2, 3, 4, 5
CLIENT_QUERY, CLIENT_RESPONSE, FORWARDER_QUERY, FORWARDER_RESPONSE = 5, 6, 7, 8
ONE = {"GOMAXPROCS": "1"}       # one shard: what different questions left is in order


def fields(b):
    """Protobuf: {field: value}; each at most once, in rising order."""
    out, at, last = {}, 0, 0
    while at < len(b):
        tag, at = read_varint(b, at)
        assert tag >> 3 > last
        last = tag >> 3
        if tag & 7 == 0:
            out[last], at = read_varint(b, at)
        elif tag & 7 == 2:
            n, at = read_varint(b, at)
            assert at + n <= len(b)
            out[last], at = b[at:at + n], at + n
        else:
            assert tag & 7 == 5
            out[last], at = struct.unpack_from("<I", b, at)[0], at + 4
    return out


class Event:
    def __init__(self, frame):
        top = fields(frame)
        assert top[15] == 1
        self.identity, self.version, self.extra = top.get(1), top.get(2), top.get(3)
        m = fields(top[14])
        self.type, self.family, self.protocol = m[1], m.get(2), m.get(3)
        self.client, self.server = (m.get(4), m.get(6)), (m.get(5), m.get(7))
        self.query_time = m[8] + m[9] / 1e9
        self.response_time = m[12] + m[13] / 1e9 if 12 in m else None
        self.query, self.response = m.get(10), m.get(14)


class Reader:
    """The reading side of Frame Streams on a connected socket."""

    def __init__(self, sock, hello=None):
        self.sock, self.file = sock, sock.makefile("rb")
        kind, content = self.control()
        assert (kind, content) == (READY, [CONTENT])
        self.say(hello if hello is not None else struct.pack("!IIII", ACCEPT, 1, len(CONTENT), 0)[:12] + CONTENT)
        if hello is None:
            assert self.control() == (START, [CONTENT])

    def say(self, body):
        self.sock.sendall(struct.pack("!II", 0, len(body)) + body)

    def octets(self, n):
        b = self.file.read(n)
        if len(b) != n:
            raise EOFError
        return b

    def control(self):
        zero, n = struct.unpack("!II", self.octets(8))
        assert zero == 0
        return self.rest(self.octets(n))

    @staticmethod
    def rest(b):
        kind, at, content = struct.unpack_from("!I", b)[0], 4, []
        while at < len(b):
            field, n = struct.unpack_from("!II", b, at)
            assert field == 1
            content.append(b[at + 8:at + 8 + n])
            at += 8 + n
        return kind, content

    def event(self):
        """The next event; None after STOP."""
        n = struct.unpack("!I", self.octets(4))[0]
        if n:
            return Event(self.octets(n))
        assert self.rest(self.octets(struct.unpack("!I", self.octets(4))[0]))[0] == STOP
        self.say(struct.pack("!I", FINISH))
        return None


@contextlib.contextmanager
def listener(where):
    s = socket.socket(socket.AF_UNIX if isinstance(where, pathlib.Path) else socket.AF_INET)
    s.settimeout(20)
    s.bind(str(where) if isinstance(where, pathlib.Path) else ("127.0.0.1", 0))
    s.listen()
    with s:
        yield s


def accept(s):
    c, _ = s.accept()
    c.settimeout(20)
    return c


@contextlib.contextmanager
def upstream():
    """Answers everything NXDOMAIN."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.bind(("127.0.0.1", 0))
        s.settimeout(0.2)
        stop = threading.Event()

        def run():
            while not stop.is_set():
                try:
                    b, peer = s.recvfrom(4096)
                except socket.timeout:
                    continue
                s.sendto(b[:2] + bytes([b[2] | 0x80, 0x83]) + b[4:], peer)
        t = threading.Thread(target=run)
        t.start()
        try:
            yield s.getsockname()[1]
        finally:
            stop.set()
            t.join()


def query(s, name="www.example.", timeout=20):
    q = dns.message.make_query(name, "A")
    wire = q.to_wire()
    reply = s.udp(wire, timeout=timeout)
    assert reply is not None
    return wire, reply


def test_what_clients_and_upstreams_say(tmp_path):
    sock = tmp_path / "tap.sock"
    with listener(sock) as l, upstream() as port:
        with Server(""".:{port} {
            bind 127.0.0.1
            metadata
            dnstap %s full {
                identity me
                version 1.2
                extra "{name} {type} {proto} {rcode} {/forward/upstream}"
            }
            forward . 127.0.0.1:%d
        }""" % (sock, port), env=ONE) as s:
            r = Reader(accept(l))
            before = time.time()
            wire, reply = query(s)
            events = [r.event() for _ in range(4)]
            assert [e.type for e in events] == [CLIENT_QUERY, FORWARDER_QUERY, FORWARDER_RESPONSE, CLIENT_RESPONSE]
            cq, fq, fr, cr = events
            for e in events:
                assert (e.identity, e.version, e.family, e.protocol) == (b"me", b"1.2", 1, 1)
                assert before - 1 < e.query_time < time.time() + 1
            assert cq.query == wire and cq.response is None and cq.response_time is None
            assert cq.extra == b"www.example. A udp - -" and fr.extra == b"www.example. A udp - 127.0.0.1:%d" % port
            assert cr.response == reply and cr.query is None and cr.response_time >= cr.query_time == cq.query_time
            assert cq.client == cr.client and cq.client[0] == bytes([127, 0, 0, 1]) and cq.client[1]
            assert fq.server == fr.server == (bytes([127, 0, 0, 1]), port)
            assert fq.client == fr.client and fq.client[0] == bytes([127, 0, 0, 1]) and fq.client[1] not in (0, port, cq.client[1])
            assert dns.message.from_wire(fq.query).question == dns.message.from_wire(wire).question
            assert dns.message.from_wire(fr.response).rcode() == dns.rcode.NXDOMAIN
            s.tcp([wire])
            assert [r.event().protocol for _ in range(4)] == [2, 2, 2, 2]
            # a reload keeps the connection
            s.signal("SIGUSR1")
            s.wait_log("Reloading complete")
            query(s)
            assert r.event().type == CLIENT_QUERY
            s.signal("SIGTERM")
            while r.event():
                pass
            assert s.exit_code() == 0


def test_what_a_hedge_asks(tmp_path):
    """Each question that went out is told, also that to the server that was not waited for any longer."""
    sock = tmp_path / "tap.sock"
    with listener(sock) as l, upstream() as port, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as mute:
        mute.bind(("127.0.0.1", 0))
        with Server(""".:{port} {
            bind 127.0.0.1
            dnstap %s full
            forward . 127.0.0.1:%d 127.0.0.1:%d {
                policy sequential
                max_fails 0
                hedge 20ms
            }
        }""" % (sock, mute.getsockname()[1], port), env=ONE) as s:
            r = Reader(accept(l))
            query(s)
            events = [r.event() for _ in range(5)]
            assert sorted(e.type for e in events) == sorted([CLIENT_QUERY, FORWARDER_QUERY, FORWARDER_QUERY, FORWARDER_RESPONSE, CLIENT_RESPONSE])
            asked = [e for e in events if e.type == FORWARDER_QUERY]
            assert {e.server[1] for e in asked} == {mute.getsockname()[1], port} and all(e.query for e in asked)


def test_several_taps_without_messages(tmp_path):
    sock = tmp_path / "tap.sock"
    with listener(sock) as l, listener(None) as t:
        with Server(""".:{port} {
            bind 127.0.0.1
            dnstap unix://%s
            dnstap tcp://127.0.0.1:%d full
            erratic {
                drop 2
            }
        }""" % (sock, t.getsockname()[1]), env=ONE) as s:
            plain, full = Reader(accept(l)), Reader(accept(t))
            s.udp(dns.message.make_query("dropped.example.", "A").to_wire(), timeout=0.3)
            query(s)
            for r in plain, full:
                events = [r.event() for _ in range(3)]
                assert [e.type for e in events] == [CLIENT_QUERY, CLIENT_QUERY, CLIENT_RESPONSE]
                assert all(e.identity == socket.gethostname().encode() and e.version.startswith(b"fairlead-") for e in events)
                assert [bool(e.query or e.response) for e in events] == [r is full] * 3
                assert all(e.extra is None for e in events)


def certificate(folder, name):
    cert, key = folder / f"{name}.pem", folder / f"{name}.key"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", key, "-out", cert,
                    "-subj", f"/CN={name}", "-days", "2"], check=True, capture_output=True)
    return cert, key


def test_listening_with_tls(tmp_path):
    cert, key = certificate(tmp_path, "server")
    ours, ours_key = certificate(tmp_path, "reader")
    open_port, closed_port = free_port(), free_port()
    with Server(""".:{port} {
        bind 127.0.0.1
        dnstap listen tls://127.0.0.1:%d full {
            tls %s %s
        }
        dnstap listen tls://127.0.0.1:%d {
            tls %s %s %s
        }
        whoami
    }""" % (open_port, cert, key, closed_port, cert, key, ours), env=ONE) as s:
        def reader(port, *show):
            ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            ctx.check_hostname = False
            ctx.load_verify_locations(cert)
            if show:
                ctx.load_cert_chain(*show)
            c = socket.create_connection(("127.0.0.1", port), 20)
            return Reader(ctx.wrap_socket(c))
        r, signed = reader(open_port), reader(closed_port, ours, ours_key)
        for i in range(300):                # more than one record of TLS
            wire, reply = query(s, f"n{i}.example.")
        for i in range(300):
            q, a = r.event(), r.event()
            assert (q.type, a.type) == (CLIENT_QUERY, CLIENT_RESPONSE)
            assert signed.event().type == CLIENT_QUERY and signed.event().type == CLIENT_RESPONSE
        assert (q.query, a.response) == (wire, reply)
        for show in (), (cert, key):
            with pytest.raises((OSError, EOFError)):
                reader(closed_port, *show)
        # a reader that is none
        with socket.create_connection(("127.0.0.1", open_port), 20) as c:
            c.sendall(b"GET / HTTP/1.1\r\n\r\n")
            try:
                while c.recv(1000):
                    pass
            except OSError:
                pass
        query(s)
        assert r.event().type == CLIENT_QUERY and r.event().type == CLIENT_RESPONSE
        s.signal("SIGTERM")
        assert r.event() is None
        assert s.exit_code() == 0


def test_tls(tmp_path):
    cert, key = certificate(tmp_path, "tap")
    ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ctx.load_cert_chain(cert, key)
    with listener(None) as l:
        with Server(""".:{port} {
            bind 127.0.0.1
            dnstap tls://127.0.0.1:%d full {
                skipverify
            }
            whoami
        }""" % l.getsockname()[1]) as s:
            r = Reader(ctx.wrap_socket(accept(l), server_side=True))
            wire, reply = query(s)
            assert r.event().query == wire and r.event().response == reply
    with listener(None) as l:
        with Server(""".:{port} {
            bind 127.0.0.1
            dnstap tls://127.0.0.1:%d
            whoami
        }""" % l.getsockname()[1]) as s:
            with pytest.raises(OSError), ctx.wrap_socket(accept(l), server_side=True) as c:
                if not c.recv(1):       # TLS 1.3: the server's side may end before the client has looked at the certificate
                    raise OSError
            s.wait_log("certificate signed by unknown authority")
            query(s)


def test_listening(tmp_path):
    sock, port = tmp_path / "tap.sock", free_port()
    # left behind by a process that is gone
    with socket.socket(socket.AF_UNIX) as old:
        old.bind(str(sock))
    with Server(""".:{port} {
        bind 127.0.0.1
        dnstap listen unix://%s full
        dnstap listen tcp://127.0.0.1:%d
        whoami
    }""" % (sock, port), env=ONE) as s:
        readers = []
        for where in str(sock), str(sock), ("127.0.0.1", port):
            c = socket.socket(socket.AF_UNIX if isinstance(where, str) else socket.AF_INET)
            c.settimeout(20)
            c.connect(where)
            readers.append(Reader(c))
        wire, reply = query(s)
        assert [r.event().query for r in readers] == [wire, wire, None]
        assert [r.event().response for r in readers] == [reply, reply, None]
        readers[0].sock.close()
        readers[0].file.close()
        for _ in range(3):
            query(s)
            assert readers[1].event().type == CLIENT_QUERY and readers[1].event().type == CLIENT_RESPONSE
        # other sizes: the new one listens once the old one has gone
        s.write(s.path.read_text().replace("full", "full 1 2"))
        s.signal("SIGUSR1")
        assert readers[1].event() is None
        r, end = None, time.time() + 20
        while not r:
            assert time.time() < end
            c = socket.socket(socket.AF_UNIX)
            c.settimeout(20)
            try:
                c.connect(str(sock))
                r = Reader(c)
            except (OSError, EOFError):
                time.sleep(0.05)
        wire, _ = query(s)
        assert r.event().query == wire
        s.signal("SIGTERM")
        while r.event():
            pass
        assert s.exit_code() == 0
    assert not sock.exists()


def test_a_reader_that_comes_late_or_leaves(tmp_path):
    sock = tmp_path / "tap.sock"
    with Server(""".:{port} {
        bind 127.0.0.1
        dnstap %s full
        whoami
    }""" % sock, env=ONE) as s:
        s.wait_log(f"No connection to dnstap endpoint: dial unix {sock}: connect: no such file or directory")
        wire, reply = query(s)
        with listener(sock) as l:
            r = Reader(accept(l))
            assert r.event().query == wire and r.event().response == reply  # kept for it
            s.wait_log("Connected to dnstap endpoint")
            r.file.close()
            r.sock.close()
            s.wait_log("lost: read: EOF")
            r = Reader(accept(l))
            wire, _ = query(s)
            assert r.event().query == wire
            # it says what no reader says
            r.sock.sendall(b"hello")
            s.wait_log("unexpected frame")
            for nonsense in struct.pack("!I", FINISH), struct.pack("!III", ACCEPT, 1, 5) + b"other":       # others: unit dnstap
                c = accept(l)
                Reader(c, nonsense)
                assert c.recv(1) == b""
                c.close()
            Reader(accept(l), struct.pack("!I", ACCEPT))    # without a content type: any
            wire, _ = query(s)


def test_a_reader_that_stops_reading_stops_nobody(tmp_path):
    sock = tmp_path / "tap.sock"
    with listener(sock) as l:
        with Server(""".:{port} {
            bind 127.0.0.1
            prometheus 127.0.0.1:{port2}
            dnstap %s full
            whoami
        }""" % sock, env=ONE) as s:
            r = Reader(accept(l))
            wire = dns.message.make_query("a." * 120 + "example.", "A").to_wire()
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as u:
                u.connect(("127.0.0.1", s.port))
                u.settimeout(20)
                end = time.time() + 60
                while metric(s.port2, "fairlead_dnstap_dropped_total") == 0:
                    assert time.time() < end
                    for _ in range(500):
                        u.send(wire)
                        u.recv(4096)
            query(s)
            dropped, total = metric(s.port2, "fairlead_dnstap_dropped_total"), metric(s.port2, "coredns_dns_requests_total")
            s.wait_log("Dropped dnstap messages: ", timeout=30)
            # what was not dropped comes whole and in order, and the sum is right
            got = 0
            while got < 2 * total - dropped:
                assert r.event().type in (CLIENT_QUERY, CLIENT_RESPONSE)
                got += 1
            query(s)
            assert r.event().type == CLIENT_QUERY


def test_the_tools_read_it(tmp_path):
    if not shutil.which("fstrm_capture") or not shutil.which("dnstap-ldns"):
        pytest.skip("fstrm-bin and dnstap-ldns are not installed")
    sock, file = tmp_path / "tap.sock", tmp_path / "tap.fstrm"
    capture = subprocess.Popen(["fstrm_capture", "-t", CONTENT.decode(), "-u", str(sock), "-w", str(file)], stderr=subprocess.DEVNULL)
    try:
        end = time.time() + 10
        while not sock.exists() and time.time() < end:
            time.sleep(0.01)
        with Server(""".:{port} {
            bind 127.0.0.1
            dnstap %s full
            whoami
        }""" % sock) as s:
            for i in range(20):
                query(s, f"n{i}.example.")
            s.signal("SIGTERM")
            s.exit_code()
        time.sleep(0.3)
    finally:
        capture.send_signal(signal.SIGTERM)
        capture.wait(10)
    text = subprocess.run(["dnstap-ldns", "-q", "-r", str(file)], capture_output=True, text=True, check=True).stdout.splitlines()
    assert sum(" CQ " in line for line in text) == sum(" CR " in line for line in text) == 20
    assert "n7.example." in "".join(text) and "127.0.0.1" in text[0]

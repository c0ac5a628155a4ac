"""forward and grpc, seen from outside: encrypted ways to servers of others and to Python's, host names, a resolv.conf that changes, lies."""
import os, random, shutil, socket, struct, subprocess, threading, time
import dns.edns, dns.flags, dns.message, dns.name, dns.rcode, dns.rdatatype
import pytest
from certs import Authority
from coredns import coredns, needs_coredns
from server import Server, cpu_seconds, free_port, metric
from upstream import Upstream, a_record, tls_server, wait_for

UNBOUND = shutil.which("unbound") or shutil.which("unbound", path="/usr/sbin")


@pytest.fixture(scope="module")
def ca(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("certs"))


def ask(s, name, kind="A", edns=True, tcp=False, timeout=20.0):
    q = dns.message.make_query(name, kind, use_edns=0 if edns else -1)
    wire = s.tcp([q.to_wire()], timeout=timeout)[0] if tcp else s.udp(q.to_wire(), timeout=timeout)
    assert wire is not None, f"no answer for {name}"
    r = dns.message.from_wire(wire)
    assert r.id == q.id and r.question == q.question
    return r


def reason(r):
    """(code, text) of the Extended DNS Error."""
    for o in r.options:
        if o.otype == 15:
            data = o.to_wire() if hasattr(o, "to_wire") else o.data
            return struct.unpack("!H", data[:2])[0], data[2:].decode()
    return None


# ---- encrypted ways ----

def test_tls(ca):
    cert, key = ca.issue("dns.test")
    with Upstream(lambda q, w, p: a_record(q), tls=tls_server(cert, key)) as up, Server("""
.:{port} {
    forward . tls://{up} {
        tls {ca}
    }
    prometheus 127.0.0.1:{port2}
}
named.test:{port} {
    forward . tls://127.0.0.1%dns.test:{upport} {
        tls {ca}
    }
}
behind.test:{port} {
    forward . tls://{up}%dns.test {
        tls {ca}
    }
}
behind-other.test:{port} {
    forward . tls://{up}%other.test {
        tls {ca}
    }
}
other.test:{port} {
    forward . tls://{up} {
        tls {ca}
        tls_servername other.test
    }
}
stranger.test:{port} {
    forward . tls://{up} {
        tls
    }
}
""", up=up.to, upport=up.port, ca=ca.ca) as s:
        assert ask(s, "www.x.test").answer[0][0].address == "192.0.2.1"
        assert len(up.seen[-1]) % 128 == 0                      # RFC 8467
        assert not ask(s, "plain.x.test", edns=False).options
        assert len(up.seen[-1]) == 12 + 14 + 4
        assert ask(s, "www.named.test").answer and ask(s, "www.behind.test").answer
        for name, words in (("www.other.test", "certificate is valid for dns.test, not other.test"),
                            ("www.behind-other.test", "certificate is valid for dns.test, not other.test"),
                            ("www.stranger.test", "certificate signed by unknown authority")):
            r = ask(s, name)
            assert r.rcode() == dns.rcode.SERVFAIL
            assert reason(r) == (23, f"{up.to}: {words}")
        assert metric(s.port2, "coredns_proxy_conn_cache_misses_total", proto="tcp-tls", to=up.to) >= 1


def test_client_certificate(ca):
    cert, key = ca.issue("dns.test")
    mine, mykey = ca.issue("client.test")
    with Upstream(lambda q, w, p: a_record(q), tls=tls_server(cert, key, ca.ca)) as up, Server("""
.:{port} {
    forward . tls://{up} {
        tls {mine} {mykey} {ca}
    }
}
without.test:{port} {
    forward . tls://{up} {
        tls {ca}
    }
}
""", up=up.to, ca=ca.ca, mine=mine, mykey=mykey) as s:
        assert ask(s, "www.x.test").answer
        assert ask(s, "www.without.test").rcode() == dns.rcode.SERVFAIL


def test_expired_and_plain(ca):
    cert, key = ca.issue("dns.test", days=-1)
    with Upstream(lambda q, w, p: a_record(q), tls=tls_server(cert, key)) as old, Upstream(lambda q, w, p: a_record(q)) as plain, Server("""
.:{port} {
    forward . tls://{old} {
        tls {ca}
    }
}
plain.test:{port} {
    forward . tls://{plain} {
        tls {ca}
    }
}
""", old=old.to, plain=plain.to, ca=ca.ca) as s:
        assert reason(ask(s, "www.x.test"))[1].endswith("certificate has expired or is not yet valid")
        r = ask(s, "www.plain.test")
        assert r.rcode() == dns.rcode.SERVFAIL and reason(r)[0] in (22, 23)


def test_down_and_up_again(ca):
    """Probes go the way that questions go."""
    cert, key = ca.issue("dns.test")
    up = Upstream(lambda q, w, p: a_record(q), tls=tls_server(cert, key))
    with Server("""
.:{port} {
    forward . tls://{up} {
        tls {ca}
        max_fails 1
        health_check 100ms domain probe.test
        failfast_all_unhealthy_upstreams
    }
}
""", up=up.to, ca=ca.ca) as s:
        with up:
            assert ask(s, "a.test").answer
        wait_for(lambda: (reason(ask(s, "b.test")) or (0, ""))[1] == "no healthy proxies", 30)
        with Upstream(lambda q, w, p: a_record(q), port=up.port, tls=tls_server(cert, key)) as again:
            wait_for(lambda: ask(s, "c.test").answer, 30)
            assert any(b"\x05probe" in w for w in again.seen)


@pytest.fixture(scope="module")
def peer(ca):
    """A CoreDNS that serves by TLS, HTTPS and gRPC, with TLS and without: the port of each."""
    cert, key = ca.issue("dns.test")
    ports = {n: free_port() for n in ("dot", "doh", "grpc", "clear")}
    tls = f"    tls {cert} {key}\n"
    body = "    template IN A {\n        answer \"{{ .Name }} 60 IN A 192.0.2.9\"\n    }\n    template IN TXT {\n        rcode NXDOMAIN\n    }\n}\n"
    with coredns("".join(f"{scheme}://.:{ports[n]} {{\n" + (tls if n != "clear" else "") + body
                         for n, scheme in (("dot", "tls"), ("doh", "https"), ("grpc", "grpc"), ("clear", "grpc")))):
        yield ports


@needs_coredns
@pytest.mark.parametrize("lines", [
    "forward . tls://127.0.0.1:{dot} {\n tls {ca}\n }",
    "forward . tls://127.0.0.1%dns.test:{dot} {\n tls {ca}\n }",
    "forward . https://127.0.0.1:{doh} {\n tls {ca}\n }",
    "forward . https://127.0.0.1:{doh} {\n tls {ca}\n tls_servername dns.test\n doh_method GET\n }",
    "grpc . 127.0.0.1:{grpc} {\n tls {ca}\n }",
    "grpc . 127.0.0.1:{grpc} {\n tls {ca}\n tls_servername dns.test\n }",
    "grpc . 127.0.0.1:{clear}",
])
def test_against_coredns(lines, peer, ca):
    with Server(".:{port} {\n" + lines + "\n}\n", ca=ca.ca, **peer) as s:
        wires = []
        for i in range(300):
            q = dns.message.make_query(f"n{i}.x.test", "A")
            q.id = i
            wires.append(q.to_wire())
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as c:
            c.settimeout(10)
            c.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
            c.connect(("127.0.0.1", s.port))
            got = set()
            for at in range(0, 300, 50):
                for w in wires[at:at + 50]:
                    c.send(w)
                for _ in range(50):
                    r = dns.message.from_wire(c.recv(4096))
                    assert r.answer and r.answer[0].name == dns.name.from_text(f"n{r.id}.x.test")
                    got.add(r.id)
            assert len(got) == 300
        assert ask(s, "none.x.test", "TXT").rcode() == dns.rcode.NXDOMAIN
        assert ask(s, "WwW.x.TEST", tcp=True).answer[0].name == dns.name.from_text("www.x.test")


@pytest.mark.skipif(not UNBOUND, reason="no unbound here")
def test_against_unbound(ca, tmp_path):
    cert, key = ca.issue("dns.test")
    port = free_port()
    (tmp_path / "unbound.conf").write_text(f"""
server:
    directory: "{tmp_path}"
    chroot: ""
    username: ""
    pidfile: ""
    use-syslog: no
    interface: 127.0.0.1@{port}
    tls-port: {port}
    tls-service-pem: "{cert}"
    tls-service-key: "{key}"
    local-zone: "x.test." redirect
    local-data: "x.test. 60 IN A 192.0.2.53"
remote-control:
    control-enable: no
""")
    with open(tmp_path / "log", "wb") as log:
        p = subprocess.Popen([UNBOUND, "-d", "-p", "-c", str(tmp_path / "unbound.conf")], stdout=log, stderr=log)
        try:
            def listens():
                with socket.socket() as c:
                    return c.connect_ex(("127.0.0.1", port)) == 0
            wait_for(listens, 30)
            with Server(".:{port} {\n forward . tls://127.0.0.1%dns.test:{up} {\n tls {ca}\n }\n prometheus 127.0.0.1:{port2}\n}\n",
                        up=port, ca=ca.ca) as s:
                for i in range(100):
                    assert ask(s, f"n{i}.x.test").answer[0][0].address == "192.0.2.53"
                assert metric(s.port2, "coredns_proxy_conn_cache_misses_total", proto="tcp-tls") <= 2      # shards
        finally:
            p.kill()
            p.wait()


@needs_coredns
def test_https_errors(peer, ca):
    """A way that answers, but not with DNS."""
    with Server("""
.:{port} {
    forward . https://127.0.0.1:{grpc} {
        tls {ca}
    }
}
""", ca=ca.ca, **peer) as s:
        r = ask(s, "www.x.test")
        assert r.rcode() == dns.rcode.SERVFAIL and reason(r)[0] == 23


# ---- who is asked ----

def test_host_names(ca):
    def names(q, w, p):
        r = dns.message.make_response(q)
        if q.question[0].name == dns.name.from_text("ns.corp.test"):
            return a_record(q, "127.0.0.1")
        r.set_rcode(dns.rcode.NXDOMAIN)
        return r.to_wire()
    with Upstream(names) as resolver, Upstream(lambda q, w, p: a_record(q)) as up:
        with Server("""
.:{port} {
    forward . ns.corp.test:{upport} {
        resolver {resolver}
    }
}
local.test:{port} {
    forward . localhost:{upport}
}
""", upport=up.port, resolver=resolver.to) as s:
            assert ask(s, "www.x.test").answer
            assert ask(s, "www.local.test").answer
        for text, words in ((".:{port} {\n forward . nobody.corp.test {\n resolver {resolver}\n }\n}\n",
                             'plugin/forward: failed to resolve "nobody.corp.test": no addresses found for "nobody.corp.test"'),
                            (".:{port} {\n forward . nobody.invalid\n}\n",
                             'plugin/forward: failed to resolve "nobody.invalid": lookup nobody.invalid.: ')):
            with Server(text, resolver=resolver.to, wait=False) as s:
                assert s.exit_code(30) == 1
                assert words in s.log()


def test_resolv_conf_changes():
    gate = threading.Event()

    def slow(q, w, p):
        if str(q.question[0].name).startswith("slow"):
            gate.wait(8)
        return a_record(q, "192.0.2.1")
    net = f"127.53.{os.getpid() % 250}"
    try:
        one = Upstream(slow, host=net + ".1", port=53)
        two = Upstream(lambda q, w, p: a_record(q, "192.0.2.2"), host=net + ".2", port=53)
    except OSError as e:
        pytest.skip(f"port 53: {e}")
    s = Server(".:{port} {\n forward . {dir}/resolv.conf {\n read_timeout 9s\n }\n prometheus 127.0.0.1:{port2}\n}\n")
    conf = s.dir / "resolv.conf"
    conf.write_text(f"nameserver {one.host}\n")
    with one, two, s:
        assert ask(s, "a.test").answer[0][0].address == "192.0.2.1"
        late = []
        t = threading.Thread(target=lambda: late.append(ask(s, "slow.test", timeout=20)))
        t.start()
        wait_for(lambda: any(b"\x04slow" in w for w in one.seen))
        (s.dir / "new").write_text(f"search x.test\nnameserver {two.host}\n")
        (s.dir / "new").rename(conf)
        wait_for(lambda: metric(s.port2, "fairlead_forward_servers_changed_total") == 1)
        wait_for(lambda: ask(s, "b.test").answer[0][0].address == "192.0.2.2")
        gate.set()                              # what was on its way finishes where it is
        t.join(20)
        assert late[0].answer[0][0].address == "192.0.2.1"
        conf.write_text("# nobody\n")
        s.wait_log("servers stay as they are: no valid upstream addresses found")
        assert ask(s, "c.test").answer[0][0].address == "192.0.2.2"
        conf.write_text(f"nameserver {one.host}\nnameserver {two.host}\n")
        wait_for(lambda: metric(s.port2, "fairlead_forward_servers_changed_total") == 2)
        wait_for(lambda: {ask(s, f"d{i}.test").answer[0][0].address for i in range(20)} == {"192.0.2.1", "192.0.2.2"})


def test_resolv_conf_changes_under_load():
    """Not one query is lost to it, whatever hedges are out."""
    net = f"127.54.{os.getpid() % 250}"
    try:
        ups = [Upstream(lambda q, w, p: time.sleep(random.random() * 0.004) or a_record(q), host=f"{net}.{i}", port=53) for i in (1, 2, 3)]
    except OSError as e:
        pytest.skip(f"port 53: {e}")
    s = Server(".:{port} {\n forward . {dir}/resolv.conf {\n hedge 3ms\n mix_case\n }\n}\n")
    (s.dir / "resolv.conf").write_text(f"nameserver {net}.1\n")
    stop, lost, done = threading.Event(), [], []

    def client(k):
        for i in range(1000):
            if stop.is_set():
                return
            (done if ask(s, f"n{i}.k{k}.test").answer else lost).append(i)
    with ups[0], ups[1], ups[2], s:
        threads = [threading.Thread(target=client, args=(k,)) for k in range(4)]
        for t in threads:
            t.start()
        told = lambda: s.log().count("other servers in resolv.conf") >= 3
        for n in range(500):
            if n >= 20 and told() and len(done) > 20:
                break
            (s.dir / "new").write_text("".join(f"nameserver {net}.{1 + (n + i) % 3}\n" for i in range(1 + n % 3)))
            (s.dir / "new").rename(s.dir / "resolv.conf")
            if n % 8 == 7:
                s.signal("SIGUSR1")
            time.sleep(0.12)
        stop.set()
        for t in threads:
            t.join()
        assert not lost and len(done) > 20 and told()
        s.signal("SIGTERM")
        assert s.exit_code(30) == 0


def test_a_name_that_a_reload_brings():
    """The confined process can look names up, and goes on serving when there is none."""
    with Server(".:{port} {\n whoami\n}\n") as s:
        s.write(".:{port} {\n forward . nobody.invalid\n}\n")
        s.signal("SIGUSR1")
        s.wait_log("failed to resolve", 60)
        assert ask(s, "www.test").rcode() == dns.rcode.NOERROR


def test_source_address():
    with Upstream(lambda q, w, p: a_record(q)) as up, Server("""
.:{port} {
    forward . {up} {
        source_address 127.0.0.77
    }
}
six.test:{port} {
    forward . {up} {
        source_address ::1
    }
}
""", up=up.to) as s:
        assert ask(s, "www.x.test").answer and ask(s, "www.x.test", tcp=True).answer
        assert {p[0] for p in up.peers} == {"127.0.0.77"}
        r = ask(s, "www.six.test")
        assert r.rcode() == dns.rcode.SERVFAIL and reason(r)[0] == 23


def test_ports_and_ids_move():
    with Upstream(lambda q, w, p: a_record(q)) as up, Server(".:{port} {\n forward . {up}\n}\n", up=up.to) as s:
        for i in range(1200):
            assert ask(s, f"n{i}.test").answer
        ids = [w[:2] for w in up.seen]
        assert len(set(ids)) > 1150                     # of 65536, drawn 1200 times: 11 pairs on average
        assert len({p[1] for p in up.peers}) >= 4       # a socket asks 256 times at most
        deltas = {(b[0] << 8 | b[1]) - (a[0] << 8 | a[1]) for a, b in zip(ids, ids[1:])}
        assert len(deltas) > 1000


# ---- lies, and what cannot be ----

def test_lies_are_counted():
    def lie(q, w, p):
        good = a_record(q)
        other = dns.message.make_query("evil.test", "A")
        other.id = q.id
        return [bytes([good[0] ^ 0xff]) + good[1:], a_record(other, "192.0.2.66"), good[:2] + b"\x80", b"", good]
    with Upstream(lie) as up, Server(".:{port} {\n forward . {up}\n prometheus 127.0.0.1:{port2}\n}\n", up=up.to) as s:
        for i in range(20):
            assert ask(s, f"n{i}.test").answer[0][0].address == "192.0.2.1"
        ask(s, "last.test")
        assert metric(s.port2, "fairlead_forward_odd_replies_total", reason="id") >= 20
        assert metric(s.port2, "fairlead_forward_odd_replies_total", reason="question") >= 40


def chain(n, q):
    """n aliases in one answer, then an address."""
    r = dns.message.make_response(q)
    name = q.question[0].name
    for i in range(n):
        to = dns.name.from_text(f"c{i}.x.test")
        r.answer.append(dns.rrset.from_text(name, 60, "IN", "CNAME", to.to_text()))
        name = to
    r.answer.append(dns.rrset.from_text(name, 60, "IN", "A", "192.0.2.1"))
    return r.to_wire(max_size=65535)


def bomb(q):
    """Names that point to names, as deep as they may: 64 KiB that would unpack to megabytes."""
    head = struct.pack("!6H", q.id, 0x8180, 1, 3000, 0, 0)
    name = q.question[0].name.to_wire()
    long = b"".join(b"\x3f" + bytes([97 + i]) * 63 for i in range(3)) + b"\xc0\x0c"
    body = head + name + struct.pack("!2H", 1, 1)
    at = len(body)
    body += long + struct.pack("!2HIH", 5, 1, 60, 2) + struct.pack("!H", 0xc000 | at)
    while body.count(b"\x00\x05\x00\x01") < 3000:
        body += struct.pack("!H", 0xc000 | at) + struct.pack("!2HIH", 5, 1, 60, 2) + struct.pack("!H", 0xc000 | at)
    return body


def odd(q, w, p):
    name = q.question[0].name.to_text()
    r = dns.message.make_response(q)
    if name.startswith("chain"):
        return chain(100, q)
    if name.startswith("unknown"):
        r.answer.append(dns.rrset.from_text(q.question[0].name, 5, "IN", "TYPE65280", "\\# 4 0a000001"))
    if name.startswith("ttl"):
        wire = bytearray(a_record(q))
        at = bytes(wire).index(b"\x00\x00\x00\x3c\x00\x04\xc0\x00")
        wire[at:at + 4] = struct.pack("!I", 0 if "zero" in name else 0x80000000)
        return bytes(wire)
    if name.startswith("bomb"):
        return bomb(q)
    if name.startswith("loop"):                 # an owner that points to itself
        body = struct.pack("!6H", q.id, 0x8180, 1, 1, 0, 0) + q.question[0].name.to_wire() + struct.pack("!2H", 1, 1)
        return body + struct.pack("!H", 0xc000 | len(body)) + struct.pack("!2HIH", 1, 1, 60, 4) + b"\xc0\x00\x02\x01"
    if name.startswith("mute"):
        return None
    if name.startswith("short"):
        return w[:2] + b"\x81\x80"
    if name.startswith("half"):
        return a_record(q)[:-3]
    if name.startswith("big"):
        for i in range(200):
            r.answer.append(dns.rrset.from_text(q.question[0].name, 5, "IN", "TXT", f'"{i} {"x" * 200}"'))
        return r.to_wire(max_size=65535)
    return r.to_wire()


def test_odd_answers():
    """Every question has an answer, and the books of client side and upstream side agree."""
    with Upstream(odd) as up, Server("""
.:{port} {
    prometheus 127.0.0.1:{port2}
    forward . {up} {
        read_timeout 300ms
        max_fails 0
    }
}
""", up=up.to) as s:
        r = ask(s, "chain.test", tcp=True)
        assert len(r.answer) == 101
        assert ask(s, "chain.test").flags & dns.flags.TC
        assert ask(s, "unknown.test", 65280).answer[0].rdtype == 65280
        assert ask(s, "ttlzero.test").answer[0].ttl == 0
        wire = s.udp(dns.message.make_query("ttlhuge.test", "A").to_wire())
        assert b"\x80\x00\x00\x00\x00\x04\xc0\x00\x02\x01" in wire or b"\x00\x00\x00\x00\x00\x04\xc0\x00\x02\x01" in wire
        assert ask(s, "big.test", "TXT", tcp=True).answer[0].__len__() == 200
        asked = 5 + 1
        for name in ("bomb.test", "loop.test", "mute.test", "short.test", "half.test"):
            for tcp in (False, True):
                r = ask(s, name, tcp=tcp)
                asked += 1
                assert r.rcode() in (dns.rcode.SERVFAIL, dns.rcode.NOERROR)
                if r.rcode() == dns.rcode.SERVFAIL:
                    assert reason(r) == (0, "no memory for the reply") or (reason(r)[0] in (22, 23) and up.to in reason(r)[1])
        assert metric(s.port2, "coredns_dns_responses_total") == asked
        assert metric(s.port2, "coredns_dns_requests_total") == asked
        answered = metric(s.port2, "coredns_proxy_request_duration_seconds_count")
        failed = metric(s.port2, "coredns_dns_responses_total", rcode="SERVFAIL")
        assert answered + failed == asked


def test_many_in_flight():
    """5,000 questions wait for a server that takes its time; all are answered."""
    lock, held = threading.Lock(), []
    n = 5000

    def later(q, w, p):
        with lock:
            held.append((time.time() + 0.7, a_record(q), p))

    with Upstream(later) as up, Server(".:{port} {\n forward . {up} {\n read_timeout 8s\n max_fails 0\n }\n}\n", up=up.to) as s:
        stop = threading.Event()

        def give():
            while not stop.is_set():
                now = time.time()
                with lock:
                    due = [h for h in held if h[0] <= now][:100]        # no more than any socket's queue takes
                    held[:] = held[len(due):]
                for _, wire, peer in due:
                    up.udp.sendto(wire, peer)
                time.sleep(0.01)
        t = threading.Thread(target=give)
        t.start()
        try:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as c:
                c.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 23)
                c.connect(("127.0.0.1", s.port))
                c.settimeout(0.01)
                got, sent, end = set(), 0, time.time() + 60
                while len(got) < n and time.time() < end:
                    for _ in range(20):
                        if sent < n and sent - len(up.seen) < 100:      # nor do more wait to be read
                            q = dns.message.make_query(f"n{sent}.test", "A")
                            q.id = sent
                            c.send(q.to_wire())
                            sent += 1
                    try:
                        while True:
                            r = dns.message.from_wire(c.recv(4096))
                            if r.rcode() == 0 and r.answer:
                                got.add(r.id)
                    except socket.timeout:
                        pass
                assert len(got) == n
        finally:
            stop.set()
            t.join()


def limited(s, soft, hard):
    """s with so many descriptors."""
    run = s.dir / "run"
    run.write_text(f'#!/bin/sh\nulimit -Sn {soft} && ulimit -Hn {hard} && exec {s.binary} "$@"\n')
    run.chmod(0o755)
    s.binary = str(run)
    return s


def test_few_descriptors():
    """Connections of clients do not take what upstreams need, nor does the server spin when there are too many."""
    with Upstream(lambda q, w, p: a_record(q)) as up, limited(Server(""".:{port} {
    forward . {up}
    timeouts {
        read 60s
        idle 60s
    }
}
""", up=up.to), 150, 150) as s:
        conns = [socket.create_connection(("127.0.0.1", s.port), 5) for _ in range(200)]
        before = cpu_seconds(s.process.pid)
        for i in range(600):                    # sockets to the upstream are renewed meanwhile
            assert ask(s, f"n{i}.test").answer
        time.sleep(1)
        rest = cpu_seconds(s.process.pid)
        time.sleep(1)
        assert cpu_seconds(s.process.pid) - rest < 0.3 and rest >= before
        for c in conns:
            c.close()
        wait_for(lambda: len(os.listdir(f"/proc/{s.process.pid}/fd")) < 100)
        assert ask(s, "tcp.test", tcp=True).answer


def test_as_many_descriptors_as_may_be():
    with limited(Server(".:{port} {\n whoami\n}\n"), 100, 1000) as s:
        line = next(l for l in open(f"/proc/{s.process.pid}/limits") if l.startswith("Max open files"))
        assert line.split()[3:5] == ["1000", "1000"]

"""forward and real servers of others as its upstreams, over each way that they have: unbound, dnsdist, knotd (CoreDNS: test_forward.py, test_quic.py)."""
import shutil, socket, subprocess
import dns.flags, dns.message, dns.name, dns.rcode
import pytest
from certs import Authority
from server import Server, free_port
from test_forward import ask, metric
from upstream import wait_for

LARGE = 40


def program(name):
    return shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/bin")


def unbound(d, port, cert, key):
    data = "\n".join(f'    local-data: \'large.x.test. 60 IN TXT "{i} {"x" * 200}"\'' for i in range(LARGE))
    (d / "conf").write_text(f"""server:
    directory: "{d}"
    chroot: ""
    username: ""
    pidfile: ""
    use-syslog: no
    do-daemonize: no
    msg-buffer-size: 65552
    interface: 127.0.0.1@{port["dns"]}
    interface: 127.0.0.1@{port["tls"]}
    interface: 127.0.0.1@{port["https"]}
    tls-port: {port["tls"]}
    https-port: {port["https"]}
    tls-service-pem: "{cert}"
    tls-service-key: "{key}"
    local-zone: "x.test." static
{data}
    local-zone: "w.x.test." redirect
    local-data: "w.x.test. 60 IN A 192.0.2.1"
remote-control:
    control-enable: no
""")
    return ["unbound", "-d", "-p", "-c", d / "conf"]


def knotd(d, port, cert, key):
    records = "\n".join(f'large TXT "{i} {"x" * 200}"' for i in range(LARGE))
    (d / "zone").write_text(f"$ORIGIN x.test.\n$TTL 60\n@ SOA ns a 1 2 3 4 60\n@ NS ns\nns A 192.0.2.53\n*.w A 192.0.2.1\n{records}\n")
    (d / "conf").write_text(f"""server:
    rundir: {d}
    listen: 127.0.0.1@{port["dns"]}
database:
    storage: {d}
zone:
  - domain: x.test
    file: {d}/zone
""")
    return ["knotd", "-c", d / "conf"]


def dnsdist(d, port, cert, key):
    """In front of unbound: it has no records of its own."""
    (d / "behind").mkdir()
    mine = {k: free_port() for k in port}
    behind = unbound(d / "behind", mine, cert, key)
    (d / "conf").write_text(f"""setLocal("127.0.0.1:{port["dns"]}")
addTLSLocal("127.0.0.1:{port["tls"]}", "{cert}", "{key}")
addDOHLocal("127.0.0.1:{port["https"]}", "{cert}", "{key}", "/dns-query")
setACL("127.0.0.0/8")
newServer({{address="127.0.0.1:{mine["dns"]}"}}):setUp()
setSecurityPollSuffix("")
""")
    return behind, ["dnsdist", "--supervised", "--disable-syslog", "-C", d / "conf"]


@pytest.fixture(scope="module")
def ca(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("certs"))


@pytest.fixture(scope="module", params=[unbound, knotd, dnsdist], ids=lambda f: f.__name__)
def peer(request, ca, tmp_path_factory):
    """Ports by scheme of a server that answers x.test."""
    cert, key = ca.issue("dns.test")
    d = tmp_path_factory.mktemp("peer")
    port = {k: free_port() for k in ("dns", "tls", "https")}
    argvs = request.param(d, port, cert, key)
    argvs = [argvs] if isinstance(argvs, list) else argvs
    for argv in argvs:
        if not program(argv[0]):
            pytest.skip(f"no {argv[0]} here")
    running = []
    with open(d / "log", "wb") as log:
        try:
            for argv in argvs:
                running.append(subprocess.Popen([program(argv[0]), *map(str, argv[1:])], cwd=d, stdin=subprocess.DEVNULL, stdout=log, stderr=log))

            def answers():
                assert all(p.poll() is None for p in running), (d / "log").read_text()
                with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as c:
                    c.settimeout(0.2)
                    c.connect(("127.0.0.1", port["dns"]))
                    c.send(dns.message.make_query("a.w.x.test", "A").to_wire())
                    try:
                        return dns.message.from_wire(c.recv(4096)).answer
                    except OSError:
                        return False
            wait_for(answers, 30)
            yield request.param, port
        finally:
            for p in running:
                p.kill()
                p.wait()


WAYS = {
    "udp": ("127.0.0.1:{dns}", ""),
    "tcp": ("127.0.0.1:{dns}", "force_tcp"),
    "tls": ("tls://127.0.0.1%dns.test:{tls}", "tls {ca}"),
    "https": ("https://127.0.0.1:{https}", "tls {ca}\n tls_servername dns.test"),
    "https-get": ("https://127.0.0.1:{https}", "tls {ca}\n tls_servername dns.test\n doh_method GET"),
}


@pytest.mark.parametrize("way", WAYS)
def test_peer(peer, way, ca):
    who, port = peer
    if who is knotd and way not in ("udp", "tcp"):
        pytest.skip("this knotd has no encrypted way but over XDP")
    to, options = WAYS[way]
    with Server(f".:{{port}} {{\n forward . {to} {{\n {options}\n health_check 100ms\n }}\n prometheus 127.0.0.1:{{port2}}\n}}\n", ca=ca.ca, **port) as s:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as c:
            c.settimeout(10)
            c.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
            c.connect(("127.0.0.1", s.port))
            for at in range(0, 400, 40):
                for i in range(at, at + 40):
                    q = dns.message.make_query(f"n{i}.w.x.test", "A", want_dnssec=bool(i & 1))
                    q.id = i
                    c.send(q.to_wire())
                got = set()
                for _ in range(40):
                    r = dns.message.from_wire(c.recv(4096))
                    assert r.answer[0].name == dns.name.from_text(f"n{r.id}.w.x.test") and r.answer[0][0].address == "192.0.2.1"
                    got.add(r.id)
                assert got == set(range(at, at + 40))
        assert ask(s, "none.x.test").rcode() == dns.rcode.NXDOMAIN
        assert len(ask(s, "large.x.test", "TXT", tcp=True).answer[0]) == LARGE
        r = ask(s, "large.x.test", "TXT")
        assert r.flags & dns.flags.TC
        assert metric(s.port2, "fairlead_forward_odd_replies_total") == 0
        assert metric(s.port2, "coredns_dns_responses_total", rcode="SERVFAIL") == 0
        assert "unhealthy" not in s.log()

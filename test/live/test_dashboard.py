"""The status page from outside: what it says, who may read it, hostile names, a large cluster, and a browser that draws it."""
import http.client, json, os, re, shutil, signal, socket, subprocess, tempfile, threading, time, urllib.parse
import dns.message, pytest
from server import Server, free_port

PLAIN = ".:{port} {\n bind 127.0.0.1\n prometheus 127.0.0.1:{m}\n dashboard 127.0.0.1:{d} {\n %s\n }\n whoami\n}\n"
CLUSTER = ".:{port} {\n bind 127.0.0.1\n prometheus 127.0.0.1:{m}\n dashboard 127.0.0.1:{d}\n kubernetes cluster.local {\n  manifests {dir}/objects\n }\n}\n"


def raw(port, path, method="GET", host="127.0.0.1", headers=(), address="127.0.0.1"):
    c = http.client.HTTPConnection(address, port, timeout=30)
    c.putrequest(method, path, skip_host=True)
    if host is not None:
        c.putheader("Host", host)
    for k, v in headers:
        c.putheader(k, v)
    c.endheaders()
    r = c.getresponse()
    body = r.read()
    c.close()
    return r, body


def api(s, path, status=200, **parameters):
    r, body = raw(s.names["d"], f"/api/{path}" + ("?" + urllib.parse.urlencode(parameters) if parameters else ""))
    assert r.status == status, body
    assert r.headers["Content-Type"] == "application/json"
    return json.loads(body)


def job(s, path, **parameters):
    j, end = api(s, path, **parameters), time.monotonic() + 60
    while not j["done"]:
        assert time.monotonic() < end
        time.sleep(0.02)
        j = api(s, path, id=j["id"])
    return j


def until(what, seconds=60):
    end = time.monotonic() + seconds
    while not (v := what()):
        assert time.monotonic() < end
        time.sleep(0.05)
    return v


def ask(s, name, rdtype="A"):
    return s.udp(name if isinstance(name, bytes) else dns.message.make_query(name, rdtype).to_wire())


def plain(extra="clients"):
    return Server(PLAIN % extra, m=free_port(), d=free_port())


def test_numbers_and_shape():
    with plain() as s:
        for i in range(30):
            assert ask(s, "often.test." if i % 3 else "Rare.Test.")
        v = until(lambda: (j := api(s, "status"))["view"]["queries"]["total"] == 30 and j)
        assert {"now", "interval", "prometheus", "cluster", "server_version", "view", "top"} == set(v)
        assert {"seconds", "since_start", "version", "uptime", "queries", "rcodes", "plugins", "latency", "cache", "upstreams", "kubernetes",
                "reload", "saturation", "memory", "panics"} == set(v["view"])
        assert v["prometheus"] is True and v["cluster"] is False and v["view"]["cache"] is None
        assert [(r["name"], r["total"]) for r in v["view"]["rcodes"]] == [("NOERROR", 30)]
        assert [r["name"] for r in v["view"]["plugins"]] == ["whoami"]
        assert [(n["name"], n["count"], n["at_least"]) for n in v["top"]["names"]] == [("often.test.", 20, 20), ("rare.test.", 10, 10)]
        assert [c["name"] for c in v["top"]["clients"]] == ["127.0.0.1"]
        points = until(lambda: (p := api(s, "history")["points"]) and p)
        assert all(len(p) == 7 for p in points)
        assert api(s, "history", after=int(time.time()) + 100)["points"] == [] and api(s, "history", 400, after="x")["error"]
        z = api(s, "zones")
        assert z["total"] == 1 and z["zones"][0]["zone"] == "." and z["zones"][0]["plugins"] == "whoami"


def test_no_client_without_the_option():
    with plain("") as s:
        assert ask(s, "a.test.")
        v = api(s, "status")
        assert v["top"]["clients"] is None and v["top"]["names"][0]["name"] == "a.test."


def test_headers_methods_paths():
    with plain() as s:
        r, page = raw(s.names["d"], "/")
        policy = r.headers["Content-Security-Policy"]
        assert r.status == 200 and r.headers["Content-Type"] == "text/html; charset=utf-8" and len(page) < 64 * 1024
        assert "default-src 'none'" in policy and "unsafe" not in policy and "frame-ancestors 'none'" in policy
        assert not re.search(rb"https?://(?!www\.w3\.org/2000/svg)", page) and b" on" + b"click=" not in page
        for path in ("/", "/api/status", "/nothing"):
            r, _ = raw(s.names["d"], path)
            assert r.headers["X-Content-Type-Options"] == "nosniff" and r.headers["Cross-Origin-Resource-Policy"] == "same-origin"
            assert "Access-Control-Allow-Origin" not in r.headers and r.headers["Content-Security-Policy"] == policy
        assert raw(s.names["d"], "/", "HEAD")[1] == b""
        for method in ("POST", "PUT", "DELETE", "OPTIONS", "PATCH"):
            r, _ = raw(s.names["d"], "/api/status", method, headers=[("Content-Length", "0")])
            assert r.status == 405 and r.headers["Allow"] == "GET, HEAD"
        assert raw(s.names["d"], "/api/nothing")[0].status == 404 and raw(s.names["d"], "/x")[0].status == 404
        assert api(s, "services", 404)["error"]
        assert api(s, "explain", 400)["error"] and api(s, "explain", 400, name="a..b")["error"] and api(s, "explain", 400, name="a", type="NONE")["error"]
        assert api(s, "explain", 404, id="00")["error"]


def test_hosts():
    with plain() as s:
        port = s.names["d"]
        own = socket.gethostname()
        for host in ("127.0.0.1", f"127.0.0.1:{port}", "[::1]:80", "localhost", f"LOCALHOST:{port}", "localhost.", "10.1.2.3", own):
            assert raw(port, "/api/status", host=host)[0].status == 200, host
        for host in ("evil.test", f"evil.test:{port}", "127.0.0.1.evil.test", "localhost.evil.test", "", "[", "[::1", "[evil]:80", "127.1", "2130706433"):
            assert raw(port, "/api/status", host=host)[0].status == 403, host
            assert raw(port, "/", host=host)[0].status == 403, host
        assert raw(port, "/api/status", headers=[("Sec-Fetch-Site", "cross-site")])[0].status == 403
        assert raw(port, "/api/status", headers=[("Sec-Fetch-Site", "same-site")])[0].status == 403
        assert raw(port, "/api/status", headers=[("Sec-Fetch-Site", "same-origin")])[0].status == 200


def test_loopback_unless_an_address_is_given():
    d = free_port()
    with Server(".:{port} {\n dashboard :{d}\n whoami\n}\n", d=d) as s:
        assert raw(d, "/api/status")[0].status == 200
        listening = subprocess.run(["ss", "-Hltn", f"sport = :{d}"], capture_output=True, text=True)
        if listening.returncode == 0:
            assert {line.split()[3].rpartition(":")[0] for line in listening.stdout.splitlines()} <= {"127.0.0.1", "[::1]"}
        assert not s.log().count("ERROR")


def hostile(labels):
    q = dns.message.make_query("x.", "A").to_wire()
    return q[:12] + b"".join(bytes([len(x)]) + x for x in labels) + b"\0" + q[-4:]


def test_hostile_names():
    names = [[b"<script>alert(1)</script>", b"test"], [b"\0\x01\x1b[31m\r\n\x7f\xff", b"test"], [b"a" * 63, b"b" * 63, b"c" * 63, b"d" * 61],
             [b'"},{"', b"\\u003c"], [b"a.b", b"test"]]
    with plain() as s:
        for n in names:
            assert ask(s, hostile(n))
        _, body = raw(s.names["d"], "/api/status")
        assert b"<script" not in body and not re.search(rb"[\x00-\x09\x0b-\x1f\x7f-\xff]", body)
        got = {n["name"] for n in json.loads(body)["top"]["names"]}
        assert len(got) == len(names) and "<script>alert\\(1\\)</script>.test." in got and "a\\.b.test." in got
        assert any(len(n) == 255 - 1 for n in got)
        j = job(s, "explain", name="<img src=x>.test")
        assert j["by"] == "whoami" and "<img" not in json.dumps(j["records"]).replace("\\u003cimg", "") or j["rcode"]
        r, _ = raw(s.names["d"], "/api/explain?name=" + "a" * 7000)
        assert r.status == 400
        try:
            assert raw(s.names["d"], "/" + "a" * 20000)[0].status == 431
        except (ConnectionError, http.client.BadStatusLine):
            pass


def test_explain_goes_through_the_chain():
    with Server("a.test:{port} {\n bind 127.0.0.1\n dashboard 127.0.0.1:{d}\n hosts {\n  192.0.2.1 x.a.test\n }\n}\n"
                ".:{port} {\n bind 127.0.0.1\n whoami\n}\nslow.test:{port} {\n bind 127.0.0.1\n forward . 127.0.0.1:{gone}\n}\n", d=free_port(), gone=free_port()) as s:
        j = job(s, "explain", name="X.a.test", type="a")
        assert (j["by"], j["rcode"], j["zone"], j["chain"], j["count"]) == ("hosts", "NOERROR", "a.test.", "hosts", 1)
        assert j["records"][0]["data"] == "192.0.2.1" and j["records"][0]["section"] == "answer"
        assert (k := job(s, "explain", name="y.a.test"))["rcode"] in ("NXDOMAIN", "SERVFAIL") and k["zone"] == "a.test."
        assert (k := job(s, "explain", name="other.test"))["by"] == "whoami" and k["zone"] == "."
        assert (k := job(s, "explain", name="z.slow.test"))["rcode"] == "SERVFAIL" and k["by"] == "forward" and k["reason"]


def test_more_jobs_than_places():
    with Server(".:{port} {\n bind 127.0.0.1\n dashboard 127.0.0.1:{d}\n forward . 127.0.0.1:{silent}\n}\n", d=free_port(), silent=free_port()) as s, \
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as deaf:
        deaf.bind(("127.0.0.1", s.names["silent"]))
        got = [raw(s.names["d"], f"/api/explain?name=n{i}.test")[0].status for i in range(40)]
        assert got.count(200) >= 16 and set(got) <= {200, 503} and 503 in got
        s.write(".:{port} {\n bind 127.0.0.1\n dashboard 127.0.0.1:{d}\n whoami\n}\n")         # the old chain goes while they wait in it
        s.signal("SIGUSR1")
        until(lambda: api(s, "zones")["zones"][0]["plugins"] == "whoami")
        s.signal("SIGTERM")
        assert s.exit_code(30) == 0, s.log()


def test_reloads_while_it_is_read():
    with plain() as s:
        for i in range(8):
            s.signal("SIGUSR1")
            for k in range(5):
                assert job(s, "explain", name=f"a{k}.test")["by"] == "whoami"
                assert api(s, "status")["prometheus"]
            until(lambda: s.log().count("Reloading complete") == i + 1)


def write_services(directory, count):
    os.mkdir(directory)
    with open(directory / "all.yaml", "w") as f:
        f.write("apiVersion: v1\nkind: Namespace\nmetadata: {name: many}\n---\napiVersion: v1\nkind: Namespace\nmetadata: {name: few}\n")
        f.write("---\napiVersion: v1\nkind: Service\nmetadata: {name: out, namespace: few}\nspec: {type: ExternalName, externalName: www.example.org}\n")
        for i in range(count):
            f.write(f"---\napiVersion: v1\nkind: Service\nmetadata: {{name: s{i:06d}, namespace: many}}\nspec: {{clusterIP: 10.{i >> 16}.{i >> 8 & 255}.{i & 255}, ports: [{{port: 80}}]}}\n")


def test_paging_a_large_cluster():
    count = 100000
    s = Server(CLUSTER, wait=False, m=free_port(), d=free_port())
    write_services(s.dir / "objects", count)
    with s:
        s.wait_log("CoreDNS-1.15.0", timeout=120)
        until(lambda: (k := api(s, "status")["view"]["kubernetes"]) and k[0]["synced"] and k[0]["kinds"], 60)
        j = job(s, "services", limit=3)
        assert (j["total"], j["matched"], j["more"]) == (count + 1, count + 1, True)
        assert [(x["namespace"], x["name"]) for x in j["services"]] == [("few", "out"), ("many", "s000000"), ("many", "s000001")]
        assert j["services"][0]["type"] == "ExternalName" and j["services"][0]["external_name"].rstrip(".") == "www.example.org"
        assert j["services"][1]["addresses"] == ["10.0.0.0"] and j["services"][1]["ports"][0]["port"] == 80
        seen, last = [], {"namespace": "", "name": "", "zone": ""}
        while True:
            j = job(s, "services", q="S0999", limit=30, after_namespace=last["namespace"], after_name=last["name"], after_zone=last["zone"])
            assert j["matched"] == 100
            seen += [x["name"] for x in j["services"]]
            if not j["more"]:
                break
            last = j["services"][-1]
        assert seen == [f"s0999{i:02d}" for i in range(100)]
        assert job(s, "services", q="no such")["services"] == [] and job(s, "services", q="out.few")["matched"] == 1
        assert api(s, "services", 400, limit=1000)["error"]
        # The main loop is not held up: other pages are answered while scans run. Generous, and looked at again, for a busy machine.
        assert any(worst_wait(s) < 1 for _ in range(5))


def worst_wait(s):
    """For a page of the server, while it looks through its services five times; in seconds."""
    stop, waits = threading.Event(), [0.0]

    def watch():
        while not stop.is_set():
            began = time.monotonic()
            raw(s.names["d"], "/nothing")
            waits.append(time.monotonic() - began)
    t = threading.Thread(target=watch)
    t.start()
    for _ in range(5):
        job(s, "services", q="99")
    stop.set()
    t.join()
    return max(waits)


def test_slow_clients_are_cut():
    with plain() as s:
        slow = [socket.create_connection(("127.0.0.1", s.names["d"])) for _ in range(80)]
        for c in slow:
            c.send(b"GET / HTTP/1.1\r\nHost:")
        assert api(s, "status")["prometheus"]
        for c in slow:
            c.close()


FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync", "--hide-scrollbars"]


class Browser:
    """Chromium at a page, driven through its debugging port (a WebSocket on 127.0.0.1)."""

    def __init__(self, url, width=1000, flags=()):
        self.program = shutil.which("chromium")
        if not self.program:
            pytest.skip("chromium is not installed")
        self.tmp = tempfile.TemporaryDirectory(prefix="fairlead-chromium-", ignore_cleanup_errors=True)
        self.process = subprocess.Popen([self.program, *(flags or FLAGS), f"--user-data-dir={self.tmp.name}", "--remote-debugging-port=0", f"--window-size={width},900",
                                         "about:blank"], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
                                        env={**os.environ, "HOME": self.tmp.name}, start_new_session=True)
        for line in self.process.stderr:
            if m := re.search(r"listening on ws://127.0.0.1:(\d+)/", line):
                break
        threading.Thread(target=self.process.stderr.read, daemon=True).start()
        port = int(m[1])
        page = until(lambda: [x for x in json.loads(raw(port, "/json")[1]) if x["type"] == "page"], 30)[0]
        self.sock = socket.create_connection(("127.0.0.1", port), 60)
        path = urllib.parse.urlsplit(page["webSocketDebuggerUrl"]).path
        self.sock.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                          "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n".encode())
        self.file = self.sock.makefile("rb")
        while self.file.readline() != b"\r\n":
            pass
        self.n, self.complaints = 0, []
        for method in ("Runtime.enable", "Log.enable", "Page.enable"):
            self.call(method)
        self.call("Page.navigate", url=url)

    def message(self):
        head = self.file.read(2)
        n = head[1] & 127
        n = int.from_bytes(self.file.read(2 if n == 126 else 8), "big") if n > 125 else n
        return json.loads(self.file.read(n))

    def call(self, method, **params):
        self.n += 1
        data = json.dumps({"id": self.n, "method": method, "params": params}).encode()
        self.sock.sendall(b"\x81" + (bytes([0x80 | len(data)]) if len(data) < 126 else b"\xfe" + len(data).to_bytes(2, "big")) + b"\0\0\0\0" + data)
        while (m := self.message()).get("id") != self.n:
            if m["method"] in ("Log.entryAdded", "Runtime.exceptionThrown", "Runtime.consoleAPICalled"):
                self.complaints.append(m["params"])
        return m["result"]

    def run(self, script):
        return self.call("Runtime.evaluate", expression=script, awaitPromise=True)["result"].get("value")

    def wait(self, script):
        return until(lambda: self.run(script), 30)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.sock.close()
        self.tmp.cleanup()


@pytest.mark.parametrize("width", [1000, 500])
def test_a_browser_draws_it(width):
    s = Server(CLUSTER, m=free_port(), d=free_port())
    write_services(s.dir / "objects", 60)
    with s:
        for _ in range(20):
            assert ask(s, hostile([b"<b>pwned</b>", b"svc", b"cluster", b"local"])) and ask(s, "s000001.many.svc.cluster.local.")
        with Browser(f"http://127.0.0.1:{s.names['d']}/", width) as b:
            b.wait("document.body && document.body.dataset.ready === 'yes'")
            b.wait("document.getElementById('names').textContent.includes('s000001.many.svc.cluster.local.')")
            assert "<b>pwned</b>" in b.run("document.getElementById('names').textContent") and b.run("document.querySelectorAll('b').length") == 0
            assert b.run("document.querySelectorAll('svg').length") == 2
            b.wait("document.getElementById('s-count').textContent === '61 of 61 services'")
            assert "s000000.many" in b.run("document.getElementById('services').textContent")
            b.run("document.getElementById('s-next').click()")
            b.wait("document.getElementById('services').textContent.includes('s000024.many')")
            assert b.run("document.getElementById('s-prev').disabled") is False
            b.run("document.getElementById('s-q').value = 'OUT'; document.getElementById('search').requestSubmit()")
            b.wait("document.getElementById('s-count').textContent === '1 of 61 services'")
            for name, want in (("s000001.many.svc.cluster.local", "10.0.0.1"), ("<i>x</i>.cluster.local", "NXDOMAIN"), ("a..b", "no domain name")):
                b.run(f"document.getElementById('e-name').value = {json.dumps(name)}; document.getElementById('explain').requestSubmit()")
                b.wait(f"document.getElementById('e-out').textContent.includes({json.dumps(want)})")
            assert b.run("document.querySelectorAll('main i').length") == b.run("document.querySelectorAll('.key i').length")
            assert b.run("document.documentElement.scrollWidth <= window.innerWidth"), "it is wider than the window"
            assert not [c for c in b.complaints if "400 (Bad Request)" not in json.dumps(c)], b.complaints

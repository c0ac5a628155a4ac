"""The program on the fake API server: it follows, it survives, it says what is wrong. (What a real server does: test_real_api.py.)"""
import socket
import subprocess
import time
import dns.message
import dns.rcode
import pytest
from fakeapi import FakeAPI, make_certificates
from server import BINARY, Server, free_port, peak_rss_kb, sanitized
from upstream import wait_for

COREFILE = "cluster.local:{port} {\n  errors\n  kubernetes cluster.local {\n    {api}\n  }\n  %s\n}\n"


def service(name, ip, **meta):
    return {"metadata": {"name": name, "namespace": "d", **meta}, "spec": {"type": "ClusterIP", "clusterIP": ip, "clusterIPs": [ip],
                                                                            "ports": [{"port": 80, "protocol": "TCP"}]}}


def ask(s, name):
    reply = s.udp(dns.message.make_query(name + ".d.svc.cluster.local.", "A").to_wire())
    assert reply, "no answer; the log:\n" + s.log()
    m = dns.message.from_wire(reply)
    return m.answer[0][0].address if m.answer else dns.rcode.to_text(m.rcode())


def becomes(s, name, want, seconds=60):
    end = time.time() + seconds
    while ask(s, name) != want:
        assert time.time() < end, f"{name} is {ask(s, name)}, not {want}; the log:\n{s.log()}"
        time.sleep(0.02)


@pytest.fixture
def api():
    with FakeAPI() as a:
        a.put("namespaces", {"metadata": {"name": "d"}})
        a.put("services", service("a", "10.0.0.1"))
        yield a


def serve(api, more="", **kw):
    return Server(COREFILE % more, api="endpoint " + api.url, **kw)


def test_follows(api):
    with serve(api) as s:
        assert ask(s, "a") == "10.0.0.1"
        before = len(api.requests())
        api.put("services", service("a", "10.0.0.2"))
        becomes(s, "a", "10.0.0.2")
        api.delete("services", "a", "d")
        becomes(s, "a", "NXDOMAIN")
        api.put("services", service("large", "10.0.0.4", annotations={"x": "y" * (1 << 20)}))
        becomes(s, "large", "10.0.0.4")
        assert "Failed" not in s.log() and len(api.requests()) == before        # by the watch that was there


def test_ready_means_answers(api):
    """Who hears 200 of /ready gets an answer at once, from a process that is confined: it serves, and does not only know enough to."""
    for _ in range(8):
        admin = free_port()
        with serve(api, f"ready 127.0.0.1:{admin}", wait=False) as s, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as dns_:
            dns_.settimeout(20)
            dns_.connect(("127.0.0.1", s.port))
            end, said = time.time() + 60, b""
            while b" 200 " not in said:
                assert time.time() < end, s.log()
                try:
                    with socket.create_connection(("127.0.0.1", admin), 20) as c:
                        c.sendall(b"GET /ready HTTP/1.0\r\n\r\n")
                        said = c.recv(4096)
                except ConnectionError:
                    pass
            status = open(f"/proc/{s.process.pid}/status").read()
            assert sanitized() or "\nSeccomp:\t2\n" in status, status
            dns_.send(dns.message.make_query("a.d.svc.cluster.local.", "A").to_wire())
            assert dns.message.from_wire(dns_.recv(4096)).answer


def test_outage(api):
    with serve(api) as s:
        api.down()
        s.wait_log("connection refused")
        assert ask(s, "a") == "10.0.0.1"
        api.put("services", service("b", "10.0.0.3"))
        api.delete("services", "a", "d")
        api.up()
        becomes(s, "b", "10.0.0.3")
        becomes(s, "a", "NXDOMAIN")


def test_server_comes_after_us(api):
    api.down()
    with serve(api, wait=False) as s:
        s.wait_log("waiting for Kubernetes API before starting server")
        s.wait_log("CoreDNS-1.15.0")
        assert "starting server with unsynced Kubernetes API" in s.log()
        assert ask(s, "a") == "SERVFAIL"
        api.up()
        becomes(s, "a", "10.0.0.1")


@pytest.mark.parametrize("fault", [dict(do="garbage"), dict(do="junk"), dict(do="cut", bytes=70), dict(do="huge"), dict(do="status", code=500),
                                   dict(do="error", code=410, reason="Expired"), dict(do="type", type="text/html")])
def test_faults(api, fault):
    with serve(api) as s:
        api.fault(**fault, times=4)
        api.put("services", service("a", "10.0.0.2"))
        becomes(s, "a", "10.0.0.2")
        api.drop()
        api.put("services", service("a", "10.0.0.7"))
        becomes(s, "a", "10.0.0.7")
        assert s.process.poll() is None


def test_reload_keeps_what_it_has(api):
    with serve(api) as s:
        before = len(api.requests())
        s.write(COREFILE % "whoami")
        s.signal("SIGUSR1")
        s.wait_log("Reloading complete")
        assert ask(s, "a") == "10.0.0.1"
        api.put("services", service("a", "10.0.0.2"))
        becomes(s, "a", "10.0.0.2")
        assert len(api.requests()) == before


def test_token_and_tls(tmp_path):
    pki = make_certificates(tmp_path / "pki")
    (tmp_path / "token").write_text("one")
    with FakeAPI(tls=pki, token="one") as a:
        a.put("namespaces", {"metadata": {"name": "d"}})
        a.put("services", service("a", "10.0.0.1"))
        (tmp_path / "kubeconfig").write_text(
            f"clusters: [{{name: k, cluster: {{server: '{a.url}', certificate-authority: pki/ca.crt}}}}]\n"
            "users: [{name: u, user: {tokenFile: token}}]\ncontexts: [{name: c, context: {cluster: k, user: u}}]\n")
        with Server(COREFILE % "", api=f"kubeconfig {tmp_path}/kubeconfig c") as s:
            assert ask(s, "a") == "10.0.0.1"
            a.set(token="two")
            a.drop()
            s.wait_log("Unauthorized")
            (tmp_path / "token").write_text("two")
            a.put("services", service("a", "10.0.0.2"))
            becomes(s, "a", "10.0.0.2")


def test_relist_needs_no_second_copy():
    if sanitized():
        pytest.skip("sanitizers keep what was freed")
    with FakeAPI() as a:
        a.load_big(3000, 30000)
        with serve(a) as s:
            before = peak_rss_kb(s.process.pid)
            for turn in range(2):
                a.forget()
                a.drop()
                a.put("services", service("mark", f"10.0.0.{turn + 1}"))
                a.put("namespaces", {"metadata": {"name": "d"}})
                becomes(s, "mark", f"10.0.0.{turn + 1}")
            assert peak_rss_kb(s.process.pid) <= before * 1.1


@pytest.mark.parametrize("api,says", [
    ("kubeconfig /none/kc", "plugin/kubernetes: stat /none/kc: no such file or directory"),
    ("endpoint https://127.0.0.1:1:2/", 'plugin/kubernetes: failed to create kubernetes notification controller: "host must be a URL or a '
                                        'host:port pair: \\"https://127.0.0.1:1:2/\\""'),
    ("endpoint https://127.0.0.1:1\n    tls /x/c /x/k /x/ca", "plugin/kubernetes: invalid configuration: [unable to read client-cert /x/c for "),
    ("ttl 7", "plugin/kubernetes: unable to load in-cluster configuration, KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT must be defined"),
])
def test_bad_configuration(tmp_path, api, says):
    (tmp_path / "Corefile").write_text(COREFILE.replace("{port}", "0").replace("{api}", api) % "")
    p = subprocess.run([BINARY], cwd=tmp_path, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
    assert p.returncode == 1 and says in p.stderr


def test_lists_at_their_rate(api):
    api.set(watchlist=False)
    began = time.time()
    with Server(COREFILE % "", api="endpoint " + api.url + "\n    apiserver_qps 2\n    apiserver_burst 1") as s:
        assert ask(s, "a") == "10.0.0.1"
        lists = sorted(r["at"] for r in api.requests() if r["verb"] == "list" and r["status"] == 200)
        assert len(lists) == 3 and all(at - began > 0.49 * i for i, at in enumerate(lists)), lists     # a busy machine is late, never early
        assert sum(r["verb"] == "watch" for r in api.requests()) >= 3


def test_one_request_at_a_time(api):
    api.fault("hang", "services")               # whoever asks for services gets no head for a while
    with Server(COREFILE % "", api="endpoint " + api.url + "\n    apiserver_max_inflight 1\n    startup_timeout 1s") as s:
        wait_for(lambda: any(r["path"].endswith("/services") for r in api.requests()))
        asked = [r["path"].rsplit("/", 1)[-1] for r in api.requests()]
        assert asked[-1] == "services", asked                           # nobody overtakes it
        before = len(asked)
        time.sleep(0.5)
        assert len(api.requests()) == before
        api.heal()
        becomes(s, "a", "10.0.0.1")
        paths = {r["path"].rsplit("/", 1)[-1] for r in api.requests()}
        assert paths == {"namespaces", "services", "endpointslices"}


def test_as_somebody_else_and_secrets_stay_so(tmp_path):
    pki = make_certificates(tmp_path / "pki")
    with FakeAPI(tls=pki, token="secret-of-u") as a:
        a.put("namespaces", {"metadata": {"name": "d"}})
        a.put("services", service("a", "10.0.0.1"))
        (tmp_path / "kubeconfig").write_text(
            f"clusters: [{{name: k, cluster: {{server: '{a.url}', certificate-authority: pki/ca.crt}}}}]\n"
            "users: [{name: u, user: {token: secret-of-u, as: jane, as-groups: [dev], as-user-extra: {acme.com/x: [y]}}}]\n"
            "contexts: [{name: c, context: {cluster: k, user: u}}]\n")
        with Server(COREFILE % "debug", api=f"kubeconfig {tmp_path}/kubeconfig c") as s:
            assert ask(s, "a") == "10.0.0.1"
            for r in a.requests():
                h = {k.lower(): v for k, v in r["headers"].items()}
                assert (h["impersonate-user"], h["impersonate-group"], h["impersonate-extra-acme.com%2fx"]) == ("jane", "dev", "y")
                assert h["authorization"] == "Bearer secret-of-u"
            a.set(token="another")
            a.drop()
            s.wait_log("Unauthorized")
            assert ask(s, "a") == "10.0.0.1"
            assert "secret-of-u" not in s.log()

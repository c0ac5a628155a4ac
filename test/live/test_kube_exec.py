"""Credential plugins of a kubeconfig, and proxies before the API server, with the fake API over TLS."""
import base64
import socket
import threading
import time
import pytest
from fakeapi import FakeAPI, make_certificates
from proxy import Proxy
from server import Server, sanitized
from test_kube_process import COREFILE, ask, becomes, service

V1 = "client.authentication.k8s.io/v1"
PLUGIN = """#!/bin/sh
echo run >> {dir}/runs
cat {dir}/answer
"""


@pytest.fixture
def world(tmp_path):
    pki = make_certificates(tmp_path / "pki")
    with FakeAPI(tls=pki, token="one") as a:
        a.put("namespaces", {"metadata": {"name": "d"}})
        a.put("services", service("a", "10.0.0.1"))
        yield tmp_path, a


def credential(d, status):
    tmp = d / ".answer"
    tmp.write_text('{"kind":"ExecCredential","apiVersion":"%s","status":{%s}}' % (V1, status))
    tmp.rename(d / "answer")


def write(d, url, script=PLUGIN, more="", proxy="", timeout=""):
    (d / "plugin").write_text(script.replace("{dir}", str(d)))
    (d / "plugin").chmod(0o755)
    (d / "kubeconfig").write_text(
        f"clusters: [{{name: k, cluster: {{server: '{url}', certificate-authority: pki/ca.crt{proxy}}}}}]\n"
        f"users: [{{name: u, user: {{exec: {{apiVersion: {V1}, command: ./plugin, interactiveMode: Never{more}}}}}}}]\n"
        "contexts: [{name: c, context: {cluster: k, user: u}}]\n")
    return f"kubeconfig {d}/kubeconfig c" + timeout


def runs(d):
    return (d / "runs").read_text().count("run") if (d / "runs").exists() else 0


def test_token_is_kept_and_fetched_again(world):
    d, a = world
    credential(d, '"token":"one"')
    with Server(COREFILE % "", api=write(d, a.url)) as s:
        assert ask(s, "a") == "10.0.0.1"
        assert runs(d) == 1                     # three kinds are watched, all waited for one run
        credential(d, '"token":"two"')
        a.set(token="two")
        a.drop()                                # 401: it runs again
        a.put("services", service("a", "10.0.0.2"))
        becomes(s, "a", "10.0.0.2")
        assert runs(d) == 2
        assert "one" not in s.log() and "two" not in s.log()


def test_expired_token(world):
    d, a = world
    credential(d, '"token":"one","expirationTimestamp":"2020-01-01T00:00:00Z"')         # each request needs a run
    with Server(COREFILE % "", api=write(d, a.url, timeout="\n    startup_timeout 1s")) as s:
        deadline = time.time() + 60
        while runs(d) < 3 and time.time() < deadline:
            time.sleep(0.05)
        assert runs(d) >= 3
        credential(d, '"token":"one","expirationTimestamp":"2999-01-01T00:00:00Z"')
        becomes(s, "a", "10.0.0.1")


def test_certificate(world):
    d, a = world
    cert, key = ((d / "pki" / f"client.{x}").read_text().replace("\n", "\\n") for x in ("crt", "key"))
    credential(d, f'"clientCertificateData":"{cert}","clientKeyData":"{key}"')
    with Server(COREFILE % "", api=write(d, a.url)) as s:
        assert ask(s, "a") == "10.0.0.1"
        assert all("authorization" not in {k.lower() for k in r["headers"]} for r in a.requests())


@pytest.mark.parametrize("script,says", [
    ("#!/bin/sh\nexit 7\n", "getting credentials: exec: executable ./plugin failed with exit code 7"),
    ("#!/bin/sh\necho rubbish\n", "getting credentials: decoding stdout: couldn't get version/kind"),
    ("#!/none/shell\n", "getting credentials: exec: executable ./plugin not found"),
])
def test_a_plugin_that_fails_is_named(world, script, says):
    d, a = world
    credential(d, '"token":"one"')
    with Server(COREFILE % "", api=write(d, a.url, script, timeout="\n    startup_timeout 1s")) as s:
        s.wait_log(says)
        tmp = d / "plugin.new"
        tmp.write_text(PLUGIN.replace("{dir}", str(d)))
        tmp.chmod(0o755)
        tmp.rename(d / "plugin")                # mended: no restart is needed
        becomes(s, "a", "10.0.0.1")


def test_a_plugin_that_hangs_holds_nobody(world):
    d, a = world
    with Server(COREFILE % "whoami", api=write(d, a.url, "#!/bin/sh\nexec sleep 1000\n", timeout="\n    startup_timeout 1s")) as s:
        t = time.time()
        for _ in range(5):
            ask(s, "a")                         # answered, with whatever there is
        assert time.time() - t < 60


def test_through_a_proxy(world):
    d, a = world
    credential(d, '"token":"one"')
    p = Proxy()
    api = write(d, a.url, proxy=f", proxy-url: 'http://me:secret@127.0.0.1:{p.port}'")
    with Server(COREFILE % "", api=api) as s:
        assert ask(s, "a") == "10.0.0.1"
        assert p.asked and p.asked[0].startswith(f"CONNECT 127.0.0.1:{a.port} HTTP/1.1\r\n")
        assert "proxy-authorization: Basic " + base64.b64encode(b"me:secret").decode() in p.asked[0]
        assert "secret" not in s.log()
    p.sock.close()


def test_a_proxy_that_refuses(world):
    d, a = world
    credential(d, '"token":"one"')
    p = Proxy(refuse=True)
    api = write(d, a.url, proxy=f", proxy-url: 'http://127.0.0.1:{p.port}'", timeout="\n    startup_timeout 1s")
    with Server(COREFILE % "", api=api) as s:
        s.wait_log("proxyconnect: 407 Proxy Authentication Required")
    p.sock.close()


def test_plain_http_through_a_proxy_of_the_environment():
    """A name, so that the rule for loopback addresses does not hold; the proxy is all that could know it."""
    heads = []
    with socket.create_server(("127.0.0.1", 0)) as srv:
        def serve():
            while True:
                try:
                    c, _ = srv.accept()
                except OSError:
                    return
                heads.append(c.recv(8192).decode("latin-1"))
                c.close()
        threading.Thread(target=serve, daemon=True).start()
        env = {"HTTP_PROXY": f"http://127.0.0.1:{srv.getsockname()[1]}", "NO_PROXY": "other.test"}
        with Server(COREFILE % "", api="endpoint http://api.test:8080\n    startup_timeout 1s", env=env):
            deadline = time.time() + 60
            while not heads and time.time() < deadline:
                time.sleep(0.02)
    assert heads and heads[0].startswith("GET http://api.test:8080/api/v1/") or "GET http://api.test:8080/apis/" in heads[0]


def test_a_reload_cannot_begin_to_run_programs(world):
    """The filter of a server that began without a plugin stays."""
    if sanitized():
        pytest.skip("a build with sanitizers has no filter")
    d, a = world
    credential(d, '"token":"one"')
    with Server("{port} {\n whoami\n}\n".replace("{port}", ".:{port}")) as s:
        s.write(COREFILE.replace("{api}", write(d, a.url)) % "")
        s.signal("SIGUSR1")
        s.wait_log("needs a restart")

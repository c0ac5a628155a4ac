"""The fake API server by itself: what a client would see."""
import http.client
import json
import threading
import urllib.parse
import urllib.request
import pytest
import k8spb
from fakeapi import FakeAPI, Selector, Obj

WATCHLIST = "?allowWatchBookmarks=true&resourceVersionMatch=NotOlderThan&sendInitialEvents=true&watch=true&timeoutSeconds=1"
PROTO = {"Accept": "application/vnd.kubernetes.protobuf,application/json"}


def ask(api, path, headers=None):
    at = urllib.parse.urlsplit(api.url)
    c = http.client.HTTPConnection(at.hostname, at.port, timeout=10)
    c.request("GET", path, headers=headers or {})
    r = c.getresponse()
    body = r.read()
    c.close()
    return r.status, body


@pytest.fixture
def api():
    with FakeAPI() as a:
        for i in range(5):
            a.put("services", {"metadata": {"name": f"s{i}", "namespace": "d", "labels": {"n": str(i)}}, "spec": {"type": "ClusterIP"}})
        yield a


def test_watchlist_and_events(api):
    threading.Timer(0.2, lambda: (api.delete("services", "s1", "d"), api.put("namespaces", {"metadata": {"name": "x"}}))).start()
    _, body = ask(api, "/api/v1/services" + WATCHLIST + "&labelSelector=n+in+(1,2)", PROTO)
    kinds = [(kind, k8spb.first(k8spb.first(k8spb.opened(raw)[1], 1), 1)) for kind, raw in k8spb.frames(body)]
    assert kinds == [("ADDED", b"s1"), ("ADDED", b"s2"), ("BOOKMARK", b""), ("DELETED", b"s1"), ("BOOKMARK", b"")]
    _, body = ask(api, "/api/v1/services" + WATCHLIST)
    assert [json.loads(x)["type"] for x in body.splitlines()] == ["ADDED"] * 4 + ["BOOKMARK"] * 2


def test_pages(api):
    path, names = "/api/v1/services?limit=2", []
    while True:
        _, body = ask(api, path)
        data = json.loads(body)
        names += [o["metadata"]["name"] for o in data["items"]]
        if "continue" not in data["metadata"]:
            break
        path = "/api/v1/services?limit=2&continue=" + data["metadata"]["continue"]
    assert names == ["s0", "s1", "s2", "s3", "s4"]


def test_errors(api):
    api.forget()
    _, body = ask(api, "/api/v1/services?watch=true&resourceVersion=1")
    assert json.loads(body)["object"]["code"] == 410
    assert ask(api, "/api/v1/services?resourceVersion=99999999")[0] == 504
    api.fault("status", code=429, retry_after=1)
    assert ask(api, "/api/v1/services")[0] == 429
    api.fault("cut", bytes=50)
    with pytest.raises(http.client.IncompleteRead):
        ask(api, "/api/v1/services")
    api.set(forbidden=["pods"], token="t")
    assert ask(api, "/api/v1/pods")[0] == 401
    assert ask(api, "/api/v1/pods", {"Authorization": "Bearer t"})[0] == 403


@pytest.mark.parametrize("text,good", [("a", True), ("!a", False), ("b", False), ("!b", True), ("a=1", True), ("a==2", False), ("a!=2", True),
                                       ("b!=2", True), ("a in (1, 2)", True), ("a notin (1,2)", False), ("a,!b,a in (1),c!=x", True)])
def test_selector(text, good):
    assert Selector(text, "").match(Obj(None, 1, {"a": "1"}, "", None)) == good

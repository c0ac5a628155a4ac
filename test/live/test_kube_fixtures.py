"""The fake API server speaks as the real one: its encoder against recorded answers, byte for byte."""
import json
import pathlib
import re
import pytest
import bigcluster
import k8spb

FIXTURES = pathlib.Path(__file__).parent / "fixtures"
KINDS = {"services": "Service", "endpointslices": "EndpointSlice", "namespaces": "Namespace", "pods": "Pod"}


def pair(name):
    return (FIXTURES / (name + ".pb")).read_bytes(), (FIXTURES / (name + ".json")).read_text()


@pytest.mark.parametrize("res", KINDS)
def test_list(res):
    proto, text = pair(res + ".list")
    kind, raw = k8spb.opened(proto)
    data = json.loads(text)
    assert kind == data["kind"] == KINDS[res] + "List"
    items = [v for n, _, v in k8spb.fields(raw) if n == 2]
    ours = [k8spb.encode(KINDS[res], item) for item in data["items"]]
    assert [k8spb.known(KINDS[res], i) for i in items] == ours
    if res != "pods":
        assert items == ours
        meta = k8spb.list_meta(k8spb.first(k8spb.first(raw, 1), 2).decode())    # the two were recorded one after the other
        whole = k8spb.bytes_field(1, meta) + b"".join(k8spb.bytes_field(2, i) for i in ours)
        assert k8spb.unknown(data["apiVersion"], data["kind"], whole) == proto


@pytest.mark.parametrize("res", KINDS)
def test_watchlist(res):
    proto, text = pair(res + ".watchlist")
    ours = b""
    kinds = []
    for line, (kind, envelope) in zip(text.splitlines(), k8spb.frames(proto), strict=True):
        event = json.loads(line)
        kinds.append(kind)
        assert event["type"] == kind
        obj = event["object"]
        if kind == "BOOKMARK":          # the two were recorded one after the other
            meta = k8spb.first(k8spb.opened(envelope)[1], 1)
            obj["metadata"]["resourceVersion"] = k8spb.first(meta, 6).decode()
        assert k8spb.opened(envelope)[0] == KINDS[res] == obj["kind"]
        raw = k8spb.encode(KINDS[res], obj)
        assert k8spb.known(KINDS[res], k8spb.opened(envelope)[1]) == raw
        ours += k8spb.event(kind, k8spb.unknown(obj["apiVersion"], KINDS[res], raw))
    assert "BOOKMARK" in kinds and "ADDED" in kinds
    if res != "pods":
        assert ours == proto


def test_status():
    now = re.compile(rb"current: \d+|\(\d+\)")
    for name in "error.forbidden", "error.invalid", "error.unauthorized":
        proto, text = pair(name)
        assert k8spb.unknown("v1", "Status", k8spb.encode("Status", json.loads(text))) == proto
    for name, where in ("error.toolarge", None), ("error.toolargewatch", "object"), ("error.expired", "object"):
        proto, text = pair(name)
        obj = json.loads(text)
        ours = k8spb.unknown("v1", "Status", k8spb.encode("Status", obj[where] if where else obj))
        ours = k8spb.event("ERROR", ours) if where else ours
        assert now.sub(b"", ours) == now.sub(b"", proto)


def test_big_cluster():
    """Its templates are what the encoder would make of the same object."""
    big = bigcluster.Big(services=40, per=10, namespaces=7)
    for res, i in [(r, i) for r in ("services", "endpointslices") for i in (0, 1, 9, 39)] + [("namespaces", 6)]:
        assert big.proto(res, i, 100123, 2) == k8spb.encode(KINDS[res], big.data(res, i, 100123, 2))

"""deploy/grafana and deploy/alerts: every metric that an expression names is there, once the server has had something to count."""
import datetime, json, re, socket, time, urllib.request
import dns.message, yaml
from fakeapi import FakeAPI
from server import ROOT, Server, free_port
from upstream import wait_for

COREFILE = """
.:{port} {
    errors
    ready 127.0.0.1:{ready}
    kubernetes cluster.local {
        endpoint {api}
    }
    prometheus 127.0.0.1:{metrics}
    forward . 127.0.0.1:{port2} 127.0.0.1:1 {
        policy round_robin
        max_fails 1
        health_check 50ms
        max_concurrent 100
    }
    cache 30
    reload 2s
}
.:{port2} {
    erratic {
        drop 0
        truncate 0
        delay 0
    }
}
"""


def expressions():
    for panel in json.loads((ROOT / "deploy/grafana/fairlead.json").read_text())["panels"]:
        for t in panel.get("targets", []):
            yield "panel " + panel["title"], t["expr"]
    for group in yaml.safe_load((ROOT / "deploy/alerts/fairlead.yaml").read_text())["groups"]:
        for rule in group["rules"]:
            yield "alert " + rule["alert"], rule["expr"]


def metrics_of(expr):
    return set(re.findall(r"\b(?:coredns|fairlead|process)_[a-z0-9_]+", re.sub(r'"[^"]*"', "", expr)))


def samples(port):
    text = urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=20).read().decode()
    return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in text.splitlines() if not line.startswith("#")}


def names(found):
    return {key.partition("{")[0] for key in found}


def endpoints(address):
    now = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return {"metadata": {"name": "web-1", "namespace": "d", "labels": {"kubernetes.io/service-name": "web"},
                         "annotations": {"endpoints.kubernetes.io/last-change-trigger-time": now}},
            "addressType": "IPv4", "endpoints": [{"addresses": [address], "conditions": {"ready": True}}],
            "ports": [{"name": "http", "port": 80, "protocol": "TCP"}]}


def fill(s, api):
    """A little of everything that is counted."""
    api.put("endpointslices", endpoints("10.0.0.9"))
    for i in range(40):
        for name, kind in (("web.d.svc.cluster.local.", "A"), (f"n{i}.example.", "A"), ("twice.example.", "A")):
            q = dns.message.make_query(name, kind, want_dnssec=True)
            assert s.udp(q.to_wire(), timeout=20) is not None
    s.udp(b"\0\1\0\0\0\2\0\0\0\0\0\0" + b"\0" * 30, timeout=0.2)


def test_every_metric_is_there():
    metrics, ready = free_port(), free_port()
    with FakeAPI() as api:
        api.put("namespaces", {"metadata": {"name": "d"}})
        api.put("services", {"metadata": {"name": "web", "namespace": "d"}, "spec": {"type": "ClusterIP", "clusterIP": "None", "ports": []}})
        api.put("endpointslices", endpoints("10.0.0.8"))
        with Server(COREFILE, api=api.url, metrics=metrics, ready=ready) as s:
            fill(s, api)
            end = time.monotonic() + 60
            while True:                         # the last of them comes with a probe that failed
                found = samples(metrics)
                have = names(found)
                missing = [(who, m) for who, expr in expressions() for m in sorted(metrics_of(expr)) if m not in have]
                if not missing or time.monotonic() > end:
                    break
                time.sleep(0.1)
            assert not missing, missing
            check_old_names(found)
            check_ours(found, api)
            check_reload(s, metrics)


def check_old_names(found):
    """The names of before CoreDNS 1.12 show the numbers of the new ones."""
    seen = 0
    for key, value in found.items():
        m = re.fullmatch(r'coredns_proxy_(request_duration_seconds_(?:bucket|count)|healthcheck_failures_total|conn_cache_\w+)\{(.*)\}', key)
        if m:
            labels = ",".join(x for x in m[2].split(",") if not x.startswith("proxy_name="))
            assert found[f"coredns_forward_{m[1]}{{{labels}}}"] == value, key
            seen += 1
    counts = {k: v for k, v in found.items() if k.startswith("coredns_proxy_request_duration_seconds_count")}
    assert seen > 20 and counts
    answered = [v for k, v in found.items() if k.startswith("coredns_forward_responses_total")]
    asked = [v for k, v in found.items() if k.startswith("coredns_forward_requests_total")]
    assert sum(answered) == sum(asked) == sum(counts.values()) > 0


def check_ours(found, api):
    assert 0 <= found["fairlead_saturation"] <= 1
    assert 0 <= found[f'fairlead_kubernetes_last_event_age_seconds{{source="{api.url}"}}'] < 60
    assert found[f'fairlead_kubernetes_resource_version{{kind="endpointslice",source="{api.url}"}}'] > 0
    assert found["fairlead_reload_last_success"] == 1
    assert abs(found["fairlead_reload_last_success_timestamp_seconds"] - time.time()) < 60


def check_reload(s, metrics):
    good = s.path.read_text()
    s.write("nonsense {\n")
    s.signal("SIGUSR1")
    s.wait_log("[ERROR] SIGUSR1:")
    assert samples(metrics)["fairlead_reload_last_success"] == 0
    s.write(good)
    s.signal("SIGUSR1")
    s.wait_log("[INFO] Reloading complete")
    assert samples(metrics)["fairlead_reload_last_success"] == 1


def test_saturation_follows_the_load():
    metrics = free_port()
    with Server(".:{port} {\n  whoami\n  prometheus 127.0.0.1:{metrics}\n}\n", env={"GOMAXPROCS": "1"}, metrics=metrics) as s:
        time.sleep(0.6)
        wait_for(lambda: samples(metrics)["fairlead_saturation"] < 0.1)
        q = dns.message.make_query("x.test.", "A").to_wire()

        def flooded():
            end = time.time() + 1
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as c:
                c.connect(("127.0.0.1", s.port))
                while time.time() < end:
                    for _ in range(50):
                        c.send(q)
            return samples(metrics)["fairlead_saturation"] > 0.15
        wait_for(flooded)                       # one second is enough where nobody else wants the processor

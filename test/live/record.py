#!/usr/bin/env python3
"""Record what a real kube-apiserver answers to the requests that the kube room makes, as fixtures/NAME plus fixtures/index.json.

    record.py URL CA.crt ADMIN-TOKEN DNS-TOKEN [OUT]

Makes its objects in namespaces rec-a and rec-b, records, and removes them. The DNS token must belong to a user without rights
on pods (the 403). Run by hand when a new Kubernetes release is to be looked at; the fixtures in the tree say which one they are of."""
import json
import pathlib
import ssl
import sys
import threading
import time
import http.client
import urllib.parse

PROTO = "application/vnd.kubernetes.protobuf,application/json"
LIST = {"limit": "500", "resourceVersion": "0"}
WATCHLIST = {"allowWatchBookmarks": "true", "resourceVersionMatch": "NotOlderThan", "sendInitialEvents": "true", "watch": "true"}


class Server:
    def __init__(self, url, ca, token):
        self.at = urllib.parse.urlsplit(url)
        self.ssl = ssl.create_default_context(cafile=ca)
        self.token = token

    def ask(self, method, path, params=None, accept="application/json", body=None, token=None):
        """(status, headers, body)"""
        c = http.client.HTTPSConnection(self.at.hostname, self.at.port, context=self.ssl, timeout=30)
        head = {"Authorization": "Bearer " + (token or self.token), "Accept": accept}
        if body is not None:
            kind = "application/merge-patch+json" if method == "PATCH" else "application/json"
            head["Content-Type"] = kind
            body = json.dumps(body)
        c.request(method, path + ("?" + urllib.parse.urlencode(params) if params else ""), body, head)
        r = c.getresponse()
        out = r.status, dict(r.getheaders()), r.read()
        c.close()
        return out

    def make(self, path, obj):
        status, _, body = self.ask("POST", path, body=obj)
        assert status == 201, (status, body)
        return json.loads(body)


def service(name, **spec):
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "labels": {"app": name}}, "spec": spec}


def slice_(name, svc, kind, endpoints, ports):
    return {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": kind, "endpoints": endpoints, "ports": ports,
            "metadata": {"name": name, "labels": {"kubernetes.io/service-name": svc, "app": svc},
                         "annotations": {"endpoints.kubernetes.io/last-change-trigger-time": "2026-01-02T03:04:05.678Z"}}}


SERVICES, SLICES = "/api/v1/namespaces/%s/services", "/apis/discovery.k8s.io/v1/namespaces/%s/endpointslices"


def objects(s):
    for ns in "rec-a", "rec-b":
        s.make("/api/v1/namespaces", {"metadata": {"name": ns, "labels": {"team": ns[-1]}}})
    http80 = {"name": "http", "port": 80, "targetPort": "web"}
    s.make(SERVICES % "rec-a", service("web", selector={"app": "web"}, ports=[http80, {"name": "dns", "port": 53, "protocol": "UDP"}]))
    s.make(SERVICES % "rec-a", service("dual", selector={"app": "dual"}, ipFamilyPolicy="RequireDualStack", ports=[http80]))
    s.make(SERVICES % "rec-a", service("db", clusterIP="None", selector={"app": "db"}, publishNotReadyAddresses=True, ports=[
        {"name": "pg", "port": 5432, "appProtocol": "kubernetes.io/pg"}]))
    s.make(SERVICES % "rec-b", service("ext", type="ExternalName", externalName="Example.com.".lower()))
    s.make(SERVICES % "rec-b", service("lb", type="LoadBalancer", externalIPs=["192.0.2.7"], ports=[{"port": 443}],
                                       sessionAffinity="ClientIP"))
    s.ask("PATCH", SERVICES % "rec-b" + "/lb/status", body={"status": {"loadBalancer": {"ingress": [
        {"ip": "203.0.113.7"}, {"hostname": "lb.example.com"}]}}})
    s.make(SLICES % "rec-a", slice_("db-x1", "db", "IPv4", [
        {"addresses": ["10.9.0.1"], "conditions": {"ready": True, "serving": True, "terminating": False}, "hostname": "db-0",
         "nodeName": "node-1", "zone": "z1", "targetRef": {"kind": "Pod", "namespace": "rec-a", "name": "db-0", "uid": "11-22"},
         "hints": {"forZones": [{"name": "z1"}]}},
        {"addresses": ["10.9.0.2"], "conditions": {"ready": False, "serving": True, "terminating": True}},
        {"addresses": ["10.9.0.3"]}], [{"name": "pg", "port": 5432, "protocol": "TCP", "appProtocol": "kubernetes.io/pg"}]))
    s.make(SLICES % "rec-a", slice_("dual-x6", "dual", "IPv6", [{"addresses": ["fd01::9"], "conditions": {"ready": True}}],
                                    [{"name": "http", "port": 8080}, {"name": "", "port": 9}]))
    s.make(SLICES % "rec-b", slice_("empty-x", "lb", "IPv4", [], []))
    s.make("/api/v1/namespaces/rec-a/pods", {"metadata": {"name": "db-0", "labels": {"app": "db"}}, "spec": {
        "hostname": "db-0", "subdomain": "db", "containers": [{"name": "c", "image": "x"}]}})
    s.ask("PATCH", "/api/v1/namespaces/rec-a/pods/db-0/status", body={"status": {
        "phase": "Running", "podIP": "10.9.0.1", "podIPs": [{"ip": "10.9.0.1"}, {"ip": "fd01::1"}],
        "conditions": [{"type": "Ready", "status": "True"}]}})


def clean(s):
    for ns in "rec-a", "rec-b":
        for kind in SERVICES, SLICES:
            for o in json.loads(s.ask("GET", kind % ns)[2]).get("items", []):
                s.ask("DELETE", kind % ns + "/" + o["metadata"]["name"])
        s.ask("DELETE", f"/api/v1/namespaces/{ns}/pods/db-0", {"gracePeriodSeconds": "0"})
        s.ask("DELETE", "/api/v1/namespaces/" + ns)
        s.ask("PUT", f"/api/v1/namespaces/{ns}/finalize", body={"metadata": {"name": ns}, "spec": {"finalizers": []}})


def changes(s):
    """Runs beside a recorded watch: one MODIFIED, one ADDED, one DELETED."""
    time.sleep(1)
    s.ask("PATCH", SERVICES % "rec-a" + "/web", body={"metadata": {"labels": {"step": "two"}}})
    s.make(SERVICES % "rec-a", service("late", ports=[{"port": 1}]))
    s.ask("DELETE", SERVICES % "rec-a" + "/late")


def record(s, dns_token):
    paths = {"services": "/api/v1/services", "namespaces": "/api/v1/namespaces", "pods": "/api/v1/pods",
             "endpointslices": "/apis/discovery.k8s.io/v1/endpointslices"}
    both = {"pb": PROTO, "json": "application/json"}
    mine = {"labelSelector": "app"}
    for res, path in paths.items():
        pick = {"labelSelector": "team"} if res == "namespaces" else mine
        for form, accept in both.items():
            yield f"{res}.list.{form}", res, path, {**LIST, **pick}, accept, None
            yield f"{res}.watchlist.{form}", res, path, {**WATCHLIST, **pick, "timeoutSeconds": "2"}, accept, None
    for form, accept in both.items():
        yield f"services.watch.{form}", "services", paths["services"], {**WATCHLIST, **mine, "timeoutSeconds": "5"}, accept, changes
        yield f"services.page.{form}", "services", paths["services"], {"limit": "2", **mine}, accept, None
        yield f"error.expired.{form}", "services", paths["services"], {
            "watch": "true", "resourceVersion": "1", "timeoutSeconds": "3"}, accept, None
        yield f"error.toolarge.{form}", "services", paths["services"], {"resourceVersion": "99999999"}, accept, None
        yield f"error.toolargewatch.{form}", "services", paths["services"], {
            **WATCHLIST, "resourceVersion": "99999999", "timeoutSeconds": "9"}, accept, None
        yield f"error.invalid.{form}", "services", paths["services"], {"watch": "true", "sendInitialEvents": "true"}, accept, None
        yield f"error.forbidden.{form}", "pods", paths["pods"], LIST, accept, "dns"
        yield f"error.unauthorized.{form}", "pods", paths["pods"], LIST, accept, "nobody"
    yield "error.nocrd", "serviceimports", "/apis/multicluster.x-k8s.io/v1alpha1/serviceimports", LIST, "application/json", None


def main():
    url, ca, admin, dns = sys.argv[1:5]
    out = pathlib.Path(sys.argv[5] if len(sys.argv) > 5 else pathlib.Path(__file__).parent / "fixtures")
    out.mkdir(exist_ok=True)
    s = Server(url, ca, admin)
    clean(s)
    objects(s)
    index = {"server": json.loads(s.ask("GET", "/version")[2])["gitVersion"], "answers": {}}
    for name, res, path, params, accept, extra in record(s, dns):
        beside = threading.Thread(target=extra, args=(s,)) if callable(extra) else None
        if beside:
            beside.start()
        token = {"dns": dns, "nobody": "wrong"}.get(extra) if isinstance(extra, str) else None
        status, head, body = s.ask("GET", path, params, accept, token=token)
        if beside:
            beside.join()
        (out / name).write_bytes(body)
        keep = {k: v for k, v in head.items() if k.lower() in ("content-type", "retry-after", "content-length", "transfer-encoding")}
        index["answers"][name] = {"resource": res, "path": path, "query": params, "accept": accept, "status": status, "headers": keep}
        print(name, status, len(body))
    (out / "index.json").write_text(json.dumps(index, indent=1) + "\n")
    clean(s)


if __name__ == "__main__":
    main()

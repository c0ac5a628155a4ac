"""In a network namespace: fairlead on the folder of kube-dns's ConfigMap, with a fake API server and three upstreams. usage: kubedns_inside.py DIR

Prints a JSON object of what was seen."""
import json, pathlib, socket, subprocess, sys, threading, time, urllib.error, urllib.request
import dns.flags, dns.message, dns.rrset
from fakeapi import FakeAPI
from server import Server
from test_kubedns import mount


def upstream(port, address):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.bind(("127.0.0.1", port))

    def serve():
        while True:
            data, peer = s.recvfrom(4096)
            q = dns.message.from_wire(data)
            r = dns.message.make_response(q)
            r.flags |= dns.flags.RA
            if q.question[0].rdtype == 1:
                r.answer.append(dns.rrset.from_text(q.question[0].name, 1, "IN", "A", address))
            s.sendto(r.to_wire(), peer)
    threading.Thread(target=serve, daemon=True).start()


def get(url):
    try:
        with urllib.request.urlopen(url, timeout=10) as r:
            return r.status, r.read().decode()
    except urllib.error.HTTPError as e:
        return e.code, e.read().decode()


def ask(s, name, want=None):
    """The addresses; until they are `want`, at most 60 s."""
    end = time.monotonic() + 60
    while True:
        data = s.udp(dns.message.make_query(name, "A").to_wire(), timeout=10)
        got = [rd.address for rr in dns.message.from_wire(data).answer for rd in rr] if data else []
        if want is None or got == want or time.monotonic() > end:
            return got
        time.sleep(0.2)


def main():
    tmp = pathlib.Path(sys.argv[1])
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    for port, address in ((1001, "192.0.2.1"), (1002, "192.0.2.2"), (1003, "192.0.2.3")):
        upstream(port, address)
    api = FakeAPI()
    api.up()
    api.put("namespaces", {"metadata": {"name": "ns1"}})
    api.put("services", {"metadata": {"name": "web", "namespace": "ns1"},
                         "spec": {"clusterIP": "10.0.0.1", "clusterIPs": ["10.0.0.1"], "type": "ClusterIP", "ports": [{"port": 80}]}})
    (tmp / "kubeconfig").write_text(json.dumps({
        "apiVersion": "v1", "kind": "Config", "current-context": "c", "clusters": [{"name": "c", "cluster": {"server": api.url}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}], "users": [{"name": "u", "user": {}}]}))
    folder, seen = tmp / "kube-dns", {}
    mount(folder, 1, stubDomains='{"acme.local": ["127.0.0.1:1002"]}', upstreamNameservers='["127.0.0.1:1001"]', federations="prod=example.com")
    s = Server(None, env={"KUBECONFIG": str(tmp / "kubeconfig"), "CLUSTER_DOMAIN": "k8s.test"})
    s.path = folder
    with s:
        seen["probes"] = {p: get("http://127.0.0.1:10054" + p) for p in ("/healthcheck/kubedns", "/healthcheck/dnsmasq", "/healthcheck/x")}
        seen["health"] = get("http://127.0.0.1:8080/health")[0]
        seen["service"] = ask(s, "web.ns1.svc.k8s.test", ["10.0.0.1"])
        seen["ready"] = get("http://127.0.0.1:8181/ready")[0]
        seen["pod"] = ask(s, "10-1-2-3.ns1.pod.k8s.test")
        seen["outside"], seen["stub"] = ask(s, "a.example"), ask(s, "a.acme.local")
        mount(folder, 2, stubDomains='{"acme.local": ["127.0.0.1:1003"]}')
        seen["stub after the swap"] = ask(s, "b.acme.local", ["192.0.2.3"])
        mount(folder, 3, stubDomains='{"acme.local": [127}')
        try:
            s.wait_log(f"Corefile parse failed: {folder}/stubDomains:1: invalid character", timeout=60)
            seen["complaint"] = True
        except AssertionError:
            seen["complaint"] = False
        seen["stub after a bad key"] = ask(s, "c.acme.local")
        seen["log"] = s.log()
    api.down()
    print(json.dumps(seen))


main()

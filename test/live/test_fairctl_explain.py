"""fairctl explain: each cause by its name, from small clusters and Corefiles. Upstreams and servers are sockets of the test on 127.0.0.1."""
import json, socket, threading
import dns.flags, dns.message, dns.rcode, dns.rrset
import pytest, yaml
from fakeapi import FakeAPI
from server import ROOT, free_port
from test_fairctl_frame import run


def service(ns, name, ip="10.96.1.1", **spec):
    ips = {} if "externalName" in spec else {"clusterIP": ip, "clusterIPs": [ip]}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": ns, "labels": spec.pop("labels", {})},
            "spec": {**ips, "ports": [{"name": "http", "port": 80, "protocol": "TCP"}], **spec}}


def slice(ns, name, *endpoints):
    return {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4", "ports": [{"name": "http", "port": 80, "protocol": "TCP"}],
            "metadata": {"name": f"{name}-x", "namespace": ns, "labels": {"kubernetes.io/service-name": name}}, "endpoints": list(endpoints)}


def endpoint(ip, ready=True, pod=None, **more):
    ref = {"targetRef": {"kind": "Pod", "name": pod, "namespace": "shop"}} if pod else {}
    return {"addresses": [ip], "conditions": {"ready": ready}, **ref, **more}


def pod(ns, name, **spec):
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": ns}, "spec": spec, "status": {"podIP": "10.244.9.9"}}


def alias(ns, name, target):
    return service(ns, name, type="ExternalName", externalName=target)


DNS = [service("kube-system", "kube-dns", "10.96.0.10"), slice("kube-system", "kube-dns", endpoint("10.244.0.2"))]
WEB = [service("shop", "web"), slice("shop", "web", endpoint("10.244.1.1"))]
NAMESPACES = [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": n, "labels": {"team": n}}} for n in ("shop", "data", "kube-system")]
CLUSTER = [*NAMESPACES, *DNS, *WEB, pod("shop", "cart"), pod("data", "job")]
COREFILE = ".:53 {\n  errors\n  health\n  KUBE\n  forward . /etc/resolv.conf\n  cache 30\n  reload\n}\n"
KUBE = "kubernetes cluster.local in-addr.arpa ip6.arpa {\n    pods insecure\n    fallthrough in-addr.arpa ip6.arpa\n  }"


@pytest.fixture
def explain(tmp_path):
    (tmp_path / "node.conf").write_text("nameserver 192.0.2.53\nsearch corp.example.com\n")

    def go(name, *args, objects=(), kube=None, corefile=None, who=("--pod", "shop/cart"), offline=True, cluster=CLUSTER, type=(), text=False):
        (tmp_path / "m").mkdir(exist_ok=True)
        (tmp_path / "m/all.yaml").write_text(yaml.safe_dump_all([*cluster, *objects]))
        args = list(args)
        if kube or corefile:
            (tmp_path / "Corefile").write_text(corefile or COREFILE.replace("KUBE", kube))
            args += ["--conf", tmp_path / "Corefile"]
        if "--kubeconfig" not in args:
            args += ["--manifests", tmp_path / "m"]
        if "--node-resolv-conf" not in args:
            args += ["--node-resolv-conf", tmp_path / "node.conf"]
        args += ["--offline"] if offline else ["--timeout", "1s"]
        p = run("explain", name, *type, *who, *args, *([] if text else ["--output", "json"]), timeout=120)
        assert p.returncode == 0, p.stderr
        if text:
            return p.stdout
        data = json.loads(p.stdout)
        go.said = {f["cause"]: f for f in data["findings"]}
        go.causes = [f["cause"] for f in data["findings"] if f["severity"] == "error"]
        return data
    go.dir = tmp_path
    return go


def test_what_resolves_has_no_finding(explain):
    data = explain("web")
    assert data["result"] == "found" and data["names"] == ["web.shop.svc.cluster.local."] and explain.said == {}
    assert data["steps"][0]["records"] == ["A 10.96.1.1"] and data["steps"][0]["by"] == "kubernetes"


SERVICE_CASES = [
    # name, what else there is, cause, a word of the finding or of its fix
    ("wbe", [], "service-misspelt", "web.shop.svc.cluster.local"),
    ("wbe.shop.svc.cluster.local", [], "service-misspelt", "web.shop.svc.cluster.local"),
    ("wbe.shop", [], "service-misspelt", "web.shop.svc.cluster.local"),
    ("db", [service("data", "db"), slice("data", "db", endpoint("10.244.1.2"))], "other-namespace", "db.data"),
    ("web.data.svc.cluster.local", [], "other-namespace", "web.shop"),
    ("web.shpo", [], "namespace-misspelt", "web.shop.svc.cluster.local"),
    ("nonsense", [], "no-such-service", "shop"),
    ("web.shop.svc.cluster.lan", [], "wrong-cluster-domain", "web.shop.svc.cluster.local"),
    ("web.shop.svc.kube.example.com.", [], "wrong-cluster-domain", "web.shop.svc.cluster.local"),
    ("es", [service("shop", "es", "None"), slice("shop", "es", endpoint("10.244.1.3", ready=False))], "no-ready-endpoints", "1 endpoint"),
    ("es", [service("shop", "es", "None")], "no-ready-endpoints", "selector"),
    ("db-0.db", [service("shop", "db", "None"), slice("shop", "db", endpoint("10.244.1.4", pod="db-0"))], "headless-pod-name", "spec.subdomain db"),
    ("db-0.db.shop.svc.cluster.local", [service("shop", "db", "None"), slice("shop", "db", endpoint("10.244.1.4", pod="db-0"))], "headless-pod-name",
     "spec.hostname db-0"),
    ("a", [alias("shop", "a", "b.shop.svc.cluster.local"), alias("shop", "b", "a.shop.svc.cluster.local")], "external-name-loop",
     "a.shop.svc.cluster.local"),
    ("a", [alias("shop", "a", "gone.shop.svc.cluster.local")], "external-name-nowhere", "gone.shop"),
]


@pytest.mark.parametrize("name,objects,cause,word", SERVICE_CASES)
def test_services(explain, name, objects, cause, word):
    explain(name, objects=objects)
    assert explain.causes == [cause], explain.said
    assert word in explain.said[cause]["words"] + explain.said[cause]["fix"]


def test_a_service_without_endpoints_resolves_but_is_warned_of(explain):
    data = explain("lone", objects=[service("shop", "lone", "10.96.1.9")])
    assert data["result"] == "found" and explain.said["no-ready-endpoints"]["severity"] == "warning"


@pytest.mark.parametrize("option,cause,word", [
    ("namespaces data kube-system", "filtered-by-namespaces", "Corefile:5"),
    ("namespace_labels team=data", "filtered-by-namespace-labels", "team=data"),
    ("labels tier=front", "filtered-by-labels", "tier=front"),
])
def test_filters(explain, option, cause, word):
    explain("web", kube="kubernetes cluster.local {\n    %s\n  }" % option)
    assert explain.causes == [cause]
    assert word in explain.said[cause]["words"] + explain.said[cause]["fix"]


@pytest.mark.parametrize("spec,cause,fix", [
    ({"hostNetwork": True}, "host-network", "ClusterFirstWithHostNet"), ({"dnsPolicy": "Default"}, "dns-policy-default", "ClusterFirst"),
    ({"dnsPolicy": "None", "dnsConfig": {"nameservers": ["192.0.2.1"]}}, "dns-policy-none", "10.96.0.10"),
])
def test_policies(explain, spec, cause, fix):
    data = explain("web.shop", objects=[pod("shop", "odd", **spec)], who=("--pod", "shop/odd"))
    assert explain.causes == [cause] and fix in explain.said[cause]["fix"] and data["cluster_dns"] is False
    explain("www.example.org", objects=[pod("shop", "odd", **spec)], who=("--pod", "shop/odd"))
    assert explain.said[cause]["severity"] == "warning"


def test_ndots(explain):
    data = explain("www.example.org", corefile=COREFILE.replace("KUBE", KUBE).replace("forward . /etc/resolv.conf", "hosts {\n 192.0.2.7 www.example.org\n }"))
    assert data["result"] == "found" and len(data["names"]) == 5
    f = explain.said["ndots"]
    assert f["severity"] == "warning" and "10 queries" in f["words"] and "www.example.org." in f["fix"] and "ndots to 2" in f["fix"]
    assert explain.causes == []


def test_ndots_within_the_cluster(explain):
    data = explain("web.shop.svc.cluster.local")
    assert data["result"] == "found" and len(data["names"]) == 5 and explain.said["ndots"]["severity"] == "note"
    explain("wbe.shop.svc.cluster.local")
    assert "ndots" not in explain.said


def test_a_name_outside_is_not_taken_for_a_service(explain):
    explain("example.org")
    assert explain.causes == [] and set(explain.said) == {"ndots"}


def test_glibc_and_musl(explain):
    (explain.dir / "pod.conf").write_text("nameserver 10.96.0.10\nsearch shop.svc.cluster.local cluster.local\noptions ndots:1\n")
    data = explain("web.shop.svc", who=("--resolv-conf", explain.dir / "pod.conf"))
    assert data["result"] == "found" and data["musl"] != "found"
    assert data["names"][0] == "web.shop.svc." and data["musl_names"] == ["web.shop.svc."]


def test_limits(explain):
    many = {"dnsConfig": {"searches": [f"d{i}.example.com" for i in range(40)]}}
    explain("web", objects=[pod("shop", "many", **many)], who=("--pod", "shop/many"))
    assert explain.said["search-cut"]["severity"] == "warning"
    servers = {"dnsConfig": {"nameservers": ["192.0.2.1", "192.0.2.2", "192.0.2.3"]}}
    explain("web", objects=[pod("shop", "many", **servers)], who=("--pod", "shop/many"))
    assert "3" in explain.said["nameservers-cut"]["fix"]
    (explain.dir / "pod.conf").write_text("nameserver 10.96.0.10\nnameserver 10.0.0.1\nnameserver 10.0.0.2\nnameserver 10.0.0.3\nsearch shop.svc.cluster.local\n")
    explain("web", who=("--resolv-conf", explain.dir / "pod.conf"))
    assert "names 4 nameservers" in explain.said["nameservers-cut"]["words"]


@pytest.mark.parametrize("above,cause,word", [
    ("rewrite name web.shop.svc.cluster.local web.gone.svc.cluster.local", "shadowed-by-rewrite", "web.gone"),
    ("template IN A shop.svc.cluster.local {\n answer \"{{ .Name }} 60 IN A 192.0.2.9\"\n}", "shadowed-by-template", "192.0.2.9"),
    ("hosts {\n 192.0.2.8 web.shop.svc.cluster.local\n fallthrough\n}", "shadowed-by-hosts", "192.0.2.8"),
    ("acl {\n block net 10.244.0.0/16\n}", "shadowed-by-acl", "acl"),
])
def test_shadows(explain, above, cause, word):
    explain("web", kube=above + "\n  " + KUBE)
    assert cause in explain.causes and word in explain.said[cause]["words"]


def test_a_block_in_the_way(explain):
    explain("web", corefile=COREFILE.replace("KUBE", KUBE) + "shop.svc.cluster.local:53 {\n  whoami\n}\n")
    assert "shadowed-by-block" in explain.causes and "Corefile:12" in explain.said["shadowed-by-block"]["words"]


def test_the_dns_service_without_endpoints(explain):
    explain("web", cluster=[*NAMESPACES, DNS[0], *WEB, pod("shop", "cart")])
    assert explain.causes == ["dns-service-no-endpoints"] and "kube-system/kube-dns" in explain.said["dns-service-no-endpoints"]["words"]


def test_a_stub_on_the_node(explain):
    (explain.dir / "stub.conf").write_text("nameserver 127.0.0.53\n")
    explain("web", "--node-resolv-conf", explain.dir / "stub.conf", kube=KUBE)
    assert explain.causes == ["node-local-stub"] and "127.0.0.53" in explain.said["node-local-stub"]["words"]


# ---- servers and upstreams ----

class Peer:
    """Answers (or not) on one port; udp and tcp: functions from query to reply or None."""

    def __init__(self, udp, tcp):
        self.udp, self.tcp = udp, tcp
        self.port = free_port()
        self.u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.u.bind(("127.0.0.1", self.port))
        self.t = socket.create_server(("127.0.0.1", self.port)) if tcp else None
        self.address = f"127.0.0.1:{self.port}"
        threading.Thread(target=self.datagrams, daemon=True).start()
        if tcp:
            threading.Thread(target=self.streams, daemon=True).start()

    def datagrams(self):
        try:
            while True:
                wire, who = self.u.recvfrom(65535)
                if not wire:            # shut down
                    return
                reply = self.udp(dns.message.from_wire(wire))
                if reply:
                    self.u.sendto(reply.to_wire(), who)
        except OSError:
            pass

    def streams(self):
        try:
            while True:
                c, _ = self.t.accept()
                with c:
                    c.settimeout(5)
                    n = int.from_bytes(c.recv(2), "big")
                    reply = self.tcp(dns.message.from_wire(c.recv(n))) if n else None
                    wire = reply.to_wire() if reply else b""
                    c.sendall(len(wire).to_bytes(2, "big") + wire)
        except OSError:
            pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for s in (self.u, self.t):
            if s:
                try:
                    s.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass
                s.close()


def silent(q):
    return None


def refuse(q):
    r = dns.message.make_response(q)
    r.set_rcode(dns.rcode.REFUSED)
    return r


def answer(q, ip="10.96.1.1", name=None):
    r = dns.message.make_response(q)
    if q.question[0].rdtype == 1:
        r.answer.append(dns.rrset.from_text(name or q.question[0].name, 30, "IN", "A", ip))
    return r


def other(q):
    return answer(dns.message.make_query("login.portal.example.", q.question[0].rdtype, id=q.id))


def others_record(q):
    return answer(q, name="else.example.")


def nothing(q):
    r = dns.message.make_response(q)
    r.set_rcode(dns.rcode.NXDOMAIN)
    return r


def stub(address):
    return COREFILE.replace("KUBE", KUBE).replace("forward . /etc/resolv.conf", "") + f"corp.example:53 {{\n  forward . {address} {{\n    max_fails 0\n  }}\n}}\n"


@pytest.mark.parametrize("udp,tcp,cause", [(refuse, refuse, "upstream-refused"), (silent, None, "upstream-silent"), (other, answer, "upstream-other-name"),
                                           (others_record, others_record, "upstream-other-name"),
                                           (silent, answer, "udp-blocked")])
def test_stub_domains(explain, udp, tcp, cause):
    with Peer(udp, tcp) as peer:
        if not tcp:             # a port that takes connections and says nothing
            peer.t = socket.create_server(("127.0.0.1", peer.port))
        explain("git.corp.example.", corefile=stub(peer.address), offline=False, type=["A"])
    assert explain.causes == [cause] and peer.address in explain.said[cause]["words"] and "corp.example" in explain.said[cause]["words"]


def test_an_alias_to_a_name_outside_that_is_not_there(explain):
    with Peer(nothing, nothing) as peer:
        explain("pay", objects=[alias("shop", "pay", "gone.example.org")], corefile=COREFILE.replace("KUBE", KUBE).replace("/etc/resolv.conf", peer.address),
                offline=False)
    assert explain.causes == ["external-name-nowhere"] and "gone.example.org" in explain.said["external-name-nowhere"]["words"]


def test_endpoints_that_follow_from_pods(explain):
    db = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "db-0", "namespace": "shop", "labels": {"app": "db"}}, "spec": {},
          "status": {"podIP": "10.244.7.7", "podIPs": [{"ip": "10.244.7.7"}], "phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}}
    svc = service("shop", "db", "None", selector={"app": "db"})
    explain("db-0.db", objects=[svc, db])
    assert explain.causes == ["headless-pod-name"] and "spec.subdomain is not" in explain.said["headless-pod-name"]["words"]
    db["spec"] = {"hostname": "db-0", "subdomain": "db"}
    assert explain("db-0.db", objects=[svc, db])["result"] == "found" and explain.causes == []
    db["status"]["conditions"][0]["status"] = "False"
    explain("db", objects=[svc, db])
    assert explain.causes == ["no-ready-endpoints"]


def test_what_is_no_name(explain):
    explain("a..b")
    assert explain.causes == ["bad-name"]


def test_a_stub_domain_where_nobody_listens(explain):
    explain("git.corp.example.", corefile=stub(f"127.0.0.1:{free_port()}"), offline=False, type=["A"])
    assert explain.causes == ["upstream-refused"] and "connection refused" in explain.said["upstream-refused"]["words"]


def test_offline_says_whom_it_would_ask(explain):
    out = explain("git.corp.example.", corefile=stub("192.0.2.77"), text=True)
    assert "would ask 192.0.2.77 (offline)" in out
    out = explain("git.corp.example.", corefile=".:53 {\n grpc . 192.0.2.77:443\n}\n", text=True)
    assert "would ask" in out and "unless an upstream knows it" in out


@pytest.mark.parametrize("udp,tcp,cause", [(silent, answer, "udp-blocked"), (silent, None, "server-silent")])
def test_a_live_server_that_is_not_reached(explain, udp, tcp, cause):
    with Peer(udp, tcp) as peer:
        if not tcp:
            peer.t = socket.create_server(("127.0.0.1", peer.port))
        explain("web", "--server", peer.address, offline=False, type=["A"], kube=KUBE)
    assert explain.causes == [cause]


def test_a_live_server_that_is_not_there(explain):
    explain("web", "--server", f"127.0.0.1:{free_port()}", offline=False, type=["A"], kube=KUBE)
    assert explain.causes == ["server-unreachable"]


def test_a_live_server_that_answers_otherwise(explain):
    with Peer(lambda q: answer(q, "10.96.9.9"), lambda q: answer(q, "10.96.9.9")) as peer:
        data = explain("web", "--server", peer.address, offline=False, type=["A"], kube=KUBE)
    assert "10.96.9.9" in explain.said["server-differs"]["words"] and data["steps"][0]["live"]["udp"] == "NOERROR"


# ---- the API ----

def kubeconfig(path, url):
    path.write_text(yaml.safe_dump({"apiVersion": "v1", "kind": "Config", "current-context": "c", "clusters": [{"name": "c", "cluster": {"server": url}}],
                                    "users": [{"name": "u", "user": {}}], "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}]}))
    return path


def test_the_api_refuses_slices(explain):
    (explain.dir / "pod.conf").write_text("nameserver 10.96.0.10\nsearch shop.svc.cluster.local\n")
    with FakeAPI() as api:
        api.forbidden = {"endpointslices"}
        explain("web", "--kubeconfig", kubeconfig(explain.dir / "k", api.url), who=("--resolv-conf", explain.dir / "pod.conf"))
    assert "rbac-endpointslices" in explain.causes and "system:coredns" in explain.said["rbac-endpointslices"]["fix"]


@pytest.mark.parametrize("rule,causes", [
    ({"apiGroups": [""], "resources": ["endpoints", "services", "pods", "namespaces"], "verbs": ["list", "watch"]}, ["rbac-endpointslices"]),
    ({"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["list"]}, ["rbac-endpointslices"]),
    ({"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["list", "watch"]}, []),
    ({"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}, []),
])
def test_a_role_among_the_manifests(explain, rule, causes):
    role = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": "system:coredns"}, "rules": [rule]}
    explain("web", objects=[role])
    assert explain.causes == causes


def test_a_pod_by_the_api(explain):
    with FakeAPI() as api:
        for o in CLUSTER:
            api.put({"Namespace": "namespaces", "Service": "services", "EndpointSlice": "endpointslices", "Pod": "pods"}[o["kind"]], o)
        k = kubeconfig(explain.dir / "k", api.url)
        api.put("pods", pod("shop", "host", hostNetwork=True))
        data = explain("wbe", "--kubeconfig", k)
        assert explain.causes == ["service-misspelt"] and data["names"][0] == "wbe.shop.svc.cluster.local."
        explain("web.shop", "--kubeconfig", k, who=("--pod", "shop/host"))
        assert explain.causes == ["host-network"]
        p = run("explain", "web", "--pod", "shop/gone", "--kubeconfig", k)
        assert p.returncode == 1 and "no pod shop/gone" in p.stderr


def test_an_api_server_that_is_gone(tmp_path):
    (tmp_path / "pod.conf").write_text("nameserver 10.96.0.10\n")
    p = run("explain", "web", "--resolv-conf", tmp_path / "pod.conf", "--kubeconfig", kubeconfig(tmp_path / "k", f"http://127.0.0.1:{free_port()}"))
    assert p.returncode == 1 and "could not be read" in p.stderr and "connection refused" in p.stderr


# ---- words ----

def test_bad_input(explain):
    d = explain.dir
    assert run("explain", "web").returncode == 2
    assert run("explain", "web", "--resolv-conf", d / "none", "--manifests", d, "--offline").stderr.endswith("none: no such file or directory\n")
    p = run("explain", "web", "--pod", "shop/none", "--manifests", ROOT / "examples/cluster", "--offline", "--node-resolv-conf", d / "node.conf")
    assert p.returncode == 1 and "no pod shop/none" in p.stderr
    (d / "Bad").write_text(".:53 {\n  kubernets cluster.local\n}\n")
    p = run("explain", "web", "--resolv-conf", d / "node.conf", "--conf", d / "Bad", "--manifests", d)
    assert p.returncode == 1 and "Bad:2" in p.stderr and "kubernets" in p.stderr
    (d / "m").mkdir()
    (d / "m/x.yaml").write_text("a: b\nc: [d\ne: f\n")
    p = run("explain", "web", "--resolv-conf", d / "node.conf", "--manifests", d / "m", "--offline")
    assert p.returncode == 1 and "x.yaml:3: yaml" in p.stderr
    p = run("explain", "web", "--pod", "shop/x", "--manifests", d / "m", "--node-resolv-conf", d / "node.conf", "--offline")
    assert p.returncode == 1 and "x.yaml:" in p.stderr
    p = run("explain", "web", "--resolv-conf", d / "node.conf", "--manifests", d / "gone")
    assert p.returncode == 1 and "gone: no such file or directory" in p.stderr
    p = run("explain", "web", "bogus", "--resolv-conf", d / "node.conf", "--manifests", d)
    assert p.returncode == 2 and "is no type" in p.stderr

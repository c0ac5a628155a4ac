"""The real thing: objects made through a real kube-apiserver, every answer compared with CoreDNS 1.15.0 beside us on the same server, over
TLS with a token and RBAC. Differences are allowed only where doc/compat.md says so (ALLOWED below names them)."""
import collections, time
import dns.flags, dns.message, dns.query, dns.rcode, dns.rdatatype
import pytest
from realapi import RealApi, find, missing
from server import BINARY, Server

SKIP = missing("etcd", "kube-apiserver", "coredns")
pytestmark = pytest.mark.skipif(SKIP is not None, reason=SKIP or "")

COREFILE = """.:{port} {
    errors
    kubernetes cluster.local in-addr.arpa ip6.arpa {
        kubeconfig {kubeconfig} t
        pods insecure
        ttl 30
        %s
    }
    template IN A out.test {
        answer "{{ .Name }} 60 IN A 192.0.2.80"
    }
    loadbalance
}
"""
TYPES = "A AAAA SRV TXT CNAME MX PTR NS SOA HTTPS".split()
# (name or suffix, type) where we differ from CoreDNS on purpose: doc/compat.md, kubernetes.
ALLOWED = {(n + ".shop.svc.cluster.local.", "HTTPS") for n in ("ext", "extin", "loop", "dangling")}


def svc(name, ns="shop", **spec):
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": ns}, "spec": spec}


def slice_(name, service, addresses, ports, ns="shop", family="IPv4", hosts=(), ready=()):
    return {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": family, "ports": ports,
            "metadata": {"name": name, "namespace": ns, "labels": {"kubernetes.io/service-name": service}},
            "endpoints": [{"addresses": [a], "conditions": {"ready": ready[i] if i < len(ready) else True},
                           **({"hostname": hosts[i]} if i < len(hosts) and hosts[i] else {})} for i, a in enumerate(addresses)]}


HTTP = {"name": "http", "port": 80, "protocol": "TCP"}
DNS_PORTS = [{"name": "dns", "port": 53, "protocol": "UDP"}, {"name": "dns-tcp", "port": 53, "protocol": "TCP"}]
OBJECTS = [
    *({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": n}} for n in ("shop", "data", "empty")),
    svc("web", ports=[HTTP]), svc("multi", ports=[*DNS_PORTS, {"name": "metrics", "port": 9153}]),
    svc("dual", ports=[HTTP], ipFamilyPolicy="RequireDualStack", ipFamilies=["IPv4", "IPv6"]),
    svc("six", ports=[HTTP], ipFamilies=["IPv6"]), svc("unnamed", ports=[{"port": 8443}]),
    svc("node", type="NodePort", ports=[HTTP]), {**svc("lb", type="LoadBalancer", ports=[HTTP]),
                                                  "status": {"loadBalancer": {"ingress": [{"ip": "203.0.113.7"}]}}},
    svc("ext", type="ExternalName", externalName="a.out.test"), svc("extin", type="ExternalName", externalName="web.shop.svc.cluster.local"),
    svc("loop", type="ExternalName", externalName="loop.shop.svc.cluster.local"),
    svc("dangling", type="ExternalName", externalName="nothing.shop.svc.cluster.local"),
    svc("db", ns="data", clusterIP="None", ports=[{"name": "pg", "port": 5432}]), svc("noports", ns="data", clusterIP="None"),
    svc("down", ns="data", clusterIP="None", ports=[HTTP]), svc("1digit", ns="data", ports=[HTTP]),
    slice_("web-1", "web", ["10.1.0.1", "10.1.0.2", "10.1.0.3"], [HTTP], hosts=["a-host"], ready=[True, True, False]),
    slice_("dual-4", "dual", ["10.1.1.1"], [HTTP]), slice_("dual-6", "dual", ["fd01::1:1"], [HTTP], family="IPv6"),
    slice_("db-1", "db", ["10.2.0.1", "10.2.0.2"], [{"name": "pg", "port": 5432}, {"name": "mon", "port": 9187}], ns="data", hosts=["db-0", "db-1"]),
    slice_("db-2", "db", ["10.2.0.3", "10.2.0.4"], [{"name": "pg", "port": 5432}], ns="data", hosts=["db-2"]),
    slice_("db-6", "db", ["fd02::1", "fd02::5"], [{"name": "pg", "port": 5432}], ns="data", family="IPv6", hosts=["db-0"]),
    slice_("noports-1", "noports", ["10.2.1.1"], [], ns="data"),
    slice_("down-1", "down", ["10.2.2.1"], [HTTP], ns="data", ready=[False]),
    {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": "dns"}, "rules": [
        {"apiGroups": [""], "resources": ["services", "pods", "namespaces"], "verbs": ["list", "watch"]},
        {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["list", "watch"]}]},
    {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": "dns"},
     "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "dns"},
     "subjects": [{"kind": "Group", "name": "dns", "apiGroup": "rbac.authorization.k8s.io"}]},
]


@pytest.fixture(scope="module")
def api(tmp_path_factory):
    with RealApi(tmp_path_factory.mktemp("api")) as a:
        for o in OBJECTS:
            a.create(dict(o))
        yield a


def start(api, coredns=False, options="", user="dns"):
    return Server(COREFILE % options, binary=find("coredns") if coredns else BINARY, kubeconfig=api.dir / f"{user}.kubeconfig")


def ask(server, name, rdtype, tcp=False, edns=True):
    q = dns.message.make_query(name, rdtype, use_edns=0 if edns else -1, payload=4096)
    if tcp:
        return dns.message.from_wire(server.tcp([q.to_wire()])[0])
    reply = server.udp(q.to_wire())
    assert reply, f"no reply to {name} {rdtype}"
    return dns.message.from_wire(reply)


def shape(m):
    """What must be equal: rcode, flags, sections as multisets; SOA serials are each server's own."""
    def section(rrsets):
        rows = collections.Counter()
        for rrset in rrsets:
            for rd in rrset:
                text = rd.to_text().lower()
                if rd.rdtype == dns.rdatatype.SOA:
                    part = text.split()
                    part[2] = "SERIAL"
                    text = " ".join(part)
                rows[(rrset.name.to_text().lower(), rrset.ttl, dns.rdatatype.to_text(rd.rdtype), text)] += 1
        return rows
    return (dns.rcode.to_text(m.rcode()), dns.flags.to_text(m.flags), section(m.answer), section(m.authority), section(m.additional))


def names(api):
    out = ["cluster.local.", "svc.cluster.local.", "pod.cluster.local.", "foo.cluster.local.", "dns-version.cluster.local.", "ns.dns.cluster.local.",
           "shop.svc.cluster.local.", "empty.svc.cluster.local.", "nons.svc.cluster.local.", "shop.pod.cluster.local.",
           "10-1-0-1.shop.pod.cluster.local.", "fd01--1.shop.pod.cluster.local.", "1-2-3.shop.pod.cluster.local.", "10-1-0-1.nons.pod.cluster.local.",
           "no.such.thing.svc.cluster.local.", "x.y.z.web.shop.svc.cluster.local.", "WeB.ShOp.SvC.cLuStEr.LoCaL.", "in-addr.arpa."]
    for o in api.request("GET", "/api/v1/services")["items"]:
        full = f"{o['metadata']['name']}.{o['metadata']['namespace']}.svc.cluster.local."
        out += [full, "_http._tcp." + full, "_pg._tcp." + full, "_dns._udp." + full, "_nope._tcp." + full, "http.tcp." + full]
        out += [reverse(ip) for ip in o["spec"].get("clusterIPs", []) if ip != "None"]
    for o in api.request("GET", "/apis/discovery.k8s.io/v1/endpointslices")["items"]:
        full = f"{o['metadata']['labels'].get('kubernetes.io/service-name')}.{o['metadata']['namespace']}.svc.cluster.local."
        for e in o["endpoints"]:
            a = e["addresses"][0]
            out += [reverse(a), f"{e.get('hostname') or a.replace('.', '-').replace(':', '-')}.{full}"]
    return list(dict.fromkeys(out + ["4.3.2.1.in-addr.arpa.", "2.1.in-addr.arpa."]))


def reverse(ip):
    import dns.reversename
    return dns.reversename.from_address(ip).to_text()


def differences(api, ours, theirs, tcp=False):
    out, asked = [], 0
    for name in names(api):
        for t in TYPES:
            asked += 1
            a, b = shape(ask(ours, name, t, tcp)), shape(ask(theirs, name, t, tcp))
            if a != b and (name, t) not in ALLOWED:
                out.append(f"{name} {t}: ours {a} theirs {b}")
    return out, asked


@pytest.mark.parametrize("options", ["", "endpoint_pod_names", "namespaces shop", "ignore empty_service", "noendpoints"])
def test_every_answer_is_coredns_answer(api, options):
    with start(api, options=options) as ours, start(api, coredns=True, options=options) as theirs:
        out, asked = differences(api, ours, theirs)
        print(f"{options or 'plain'}: {asked} questions, {len(out)} differences")
        assert asked > 800 and not out, "\n".join(out[:20])


def wait_for(server, name, rdtype, want, timeout=20):
    end = time.time() + timeout
    while time.time() < end:
        m = ask(server, name, rdtype)
        got = sorted(rd.to_text() for rrset in m.answer for rd in rrset)
        if got == sorted(want):
            return
        time.sleep(0.005)
    raise AssertionError(f"{name} {rdtype} is {got}, not {want}")


def test_changes_arrive(api):
    with start(api) as s:
        api.create(svc("fresh", clusterIP="10.96.77.1", ports=[HTTP]))
        wait_for(s, "fresh.shop.svc.cluster.local.", "A", ["10.96.77.1"])
        wait_for(s, "1.77.96.10.in-addr.arpa.", "PTR", ["fresh.shop.svc.cluster.local."])
        api.create(slice_("late-1", "late", ["10.3.0.1"], [HTTP]))
        api.create(svc("late", clusterIP="None", ports=[HTTP]))
        wait_for(s, "late.shop.svc.cluster.local.", "A", ["10.3.0.1"])
        api.patch("EndpointSlice", "shop", "late-1", {"endpoints": [{"addresses": ["10.3.0.2"], "conditions": {"ready": True}}]})
        wait_for(s, "late.shop.svc.cluster.local.", "A", ["10.3.0.2"])
        api.delete("EndpointSlice", "shop", "late-1")
        wait_for(s, "late.shop.svc.cluster.local.", "A", [])
        api.delete("Service", "shop", "fresh")
        api.delete("Service", "shop", "late")
        wait_for(s, "1.77.96.10.in-addr.arpa.", "PTR", [])


def test_an_api_restart_loses_nothing_and_is_noticed_soon(api):
    with start(api) as s:
        wait_for(s, "db-0.db.data.svc.cluster.local.", "A", ["10.2.0.1"])
        api.stop_api()
        for _ in range(20):
            assert ask(s, "web.shop.svc.cluster.local.", "A").answer
            time.sleep(0.05)
        api.start_api()
        began = time.time()
        api.create(svc("after", clusterIP="10.96.77.9", ports=[HTTP]))
        wait_for(s, "after.shop.svc.cluster.local.", "A", ["10.96.77.9"], timeout=8)
        print(f"seen {time.time() - began:.2f} s after the server was back")
        api.delete("Service", "shop", "after")


def test_a_wrong_token_is_said(api, tmp_path):
    text = (api.dir / "dns.kubeconfig").read_text().replace("dns-token", "wrong-token")
    (api.dir / "wrong.kubeconfig").write_text(text)
    with start(api, options="startup_timeout 500ms", user="wrong") as s:
        s.wait_log("Unauthorized")
        assert ask(s, "web.shop.svc.cluster.local.", "A").rcode() == dns.rcode.SERVFAIL

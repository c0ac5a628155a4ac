"""fairctl resolvconf and hosts: what kubelet writes into a pod, from files. The rules themselves: test/unit/pod."""
import json
import pytest, yaml
from test_fairctl_frame import run

DNS = ["--cluster-dns", "10.96.0.10", "--cluster-domain", "cluster.local"]


@pytest.fixture
def make(tmp_path):
    (tmp_path / "resolv.conf").write_text("nameserver 10.0.0.2\nsearch corp.example.com\noptions timeout:1\n")

    def write(spec=None, name="pod.yaml", **more):
        tree = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web", "namespace": "ns1"}, "spec": spec or {}, **more}
        (tmp_path / name).write_text(yaml.safe_dump(tree))
        return tmp_path / name
    write.dir = tmp_path
    return write


def resolvconf(make, *args, **spec):
    return run("resolvconf", "--pod", make(spec), "--node-resolv-conf", make.dir / "resolv.conf", *args)


CLUSTER = "search ns1.svc.cluster.local svc.cluster.local cluster.local corp.example.com\nnameserver 10.96.0.10\noptions ndots:5\n"
NODE = "search corp.example.com\nnameserver 10.0.0.2\noptions timeout:1\n"


@pytest.mark.parametrize("spec,want", [
    ({}, CLUSTER), ({"dnsPolicy": "ClusterFirst"}, CLUSTER), ({"dnsPolicy": "Default"}, NODE), ({"hostNetwork": True}, NODE),
    ({"hostNetwork": True, "dnsPolicy": "ClusterFirstWithHostNet"}, CLUSTER),
    ({"dnsPolicy": "None", "dnsConfig": {"nameservers": ["1.2.3.4"], "options": [{"name": "ndots", "value": "2"}, {"name": "edns0"}]}},
     "nameserver 1.2.3.4\noptions ndots:2 edns0\n"),
])
def test_policies(make, spec, want):
    p = resolvconf(make, *DNS, **spec)
    assert (p.returncode, p.stdout, p.stderr) == (0, want, "")


def test_kubelets_empty_settings(make):
    pod = make({"dnsPolicy": "Default"})
    assert run("resolvconf", "--pod", pod, "--node-resolv-conf", "", *DNS).stdout == "search .\nnameserver 127.0.0.1\n"
    p = run("resolvconf", "--pod", pod, "--node-resolv-conf", "", *DNS, "--node-ip", "10.0.0.5,fd00::5")
    assert p.stdout == "search .\nnameserver 127.0.0.1\nnameserver ::1\n"
    p = resolvconf(make, "--cluster-dns", "10.96.0.10", "--cluster-domain", "")
    assert p.stdout == "search corp.example.com\nnameserver 10.96.0.10\noptions ndots:5\n"
    p = resolvconf(make, "--cluster-dns", "::ffff:10.96.0.10,010.96.0.011,nonsense")
    assert "nameserver 10.96.0.10\nnameserver 10.96.0.11\n" in p.stdout and '"nonsense" is left out' in p.stderr


def test_warnings_and_json(make):
    p = resolvconf(make, "--output", "json")
    data = json.loads(p.stdout)
    assert data["nameservers"] == ["10.0.0.2"] and data["text"] == NODE
    assert [(e["reason"], e["object"]) for e in data["events"]] == [("MissingClusterDNS", "node"), ("MissingClusterDNS", "pod")]
    assert p.stderr.count("Falling back to \"Default\" policy.") == 2
    p = resolvconf(make, *DNS, dnsPolicy="None", dnsConfig={"nameservers": ["1.1.1.1", "2.2.2.2", "3.3.3.3", "4.4.4.4"]})
    assert "the applied nameserver line is: 1.1.1.1 2.2.2.2 3.3.3.3\n" in p.stderr and "must not have more than 3 nameservers" in p.stderr
    p = resolvconf(make, *DNS, dnsPolicy="None")
    assert p.stdout == "" and "containerd 2 writes an empty file" in p.stderr and "must provide `dnsConfig`" in p.stderr
    p = resolvconf(make, *DNS, dnsPolicy="Bogus")
    assert p.stdout == CLUSTER and '"Bogus" is no policy' in p.stderr
    (make.dir / "resolv.conf").write_text("search " + " ".join(f"d{i}" for i in range(30)) + "\n")
    assert "contains search line consisting of more than 29 domains!" in resolvconf(make, *DNS).stderr


def test_bad_files(make):
    p = run("resolvconf", "--pod", make.dir / "absent.yaml")
    assert p.returncode == 1 and "absent.yaml: no such file or directory" in p.stderr
    bad = make.dir / "bad.yaml"
    for text, line, why in [("a: b\nc: [d\ne: f\n", None, "yaml"), ("kind: Pod\nspec: {dnsConfig: {nameservers: 1}}\nmetadata: {name: x}", 1, "is no list"),
                            ("\n\nkind: Pod\nmetadata: {name: x}\nspec: {dnsConfig: {options: [{name: ndots, value: 2}]}}", 3, "put it in quotes"),
                            ("kind: Pod\nmetadata: {name: x}", 1, "without spec"), ("a: b\n", 1, "no kind"), ("", 1, "no pod in it"),
                            ("---\nkind: Pod\nmetadata: {name: a}\nspec: {}\n---\nkind: Pod\nmetadata: {name: b}\nspec: {}\n", 6, "--name"),
                            ('{"kind": "Pod",\n "spec": }', 2, "json")]:
        bad.write_text(text)
        p = run("resolvconf", "--pod", bad, "--node-resolv-conf", "")
        assert (p.returncode, p.stdout) == (1, "") and why in p.stderr and f"bad.yaml:{line or ''}" in p.stderr, (text, p.stderr)
    (make.dir / "resolv.conf").write_text("search a\nnameserver\n")
    p = resolvconf(make, *DNS, dnsPolicy="None", dnsConfig={"nameservers": ["1.1.1.1"]})
    assert p.returncode == 1 and "resolv.conf:2: Encountered error while parsing resolv conf file. Error: nameserver list is empty" in p.stderr
    assert run("resolvconf").returncode == 2
    assert run("resolvconf", "--pod", make(), "--node-ip", "x").returncode == 2


def test_which_pod(make):
    many = make.dir / "many.yaml"
    many.write_text("kind: List\napiVersion: v1\nitems:\n- {kind: Service, metadata: {name: s}}\n"
                    "- {kind: Pod, metadata: {name: a}, spec: {dnsPolicy: Default}}\n- {kind: Pod, metadata: {name: b, namespace: x}, spec: {}}\n")
    args = ["--node-resolv-conf", make.dir / "resolv.conf", *DNS]
    assert run("resolvconf", "--pod", many, "--name", "a", *args).stdout == NODE
    assert "search x.svc.cluster.local" in run("resolvconf", "--pod", many, "--name", "x/b", *args).stdout
    assert run("resolvconf", "--pod", many, "--name", "x/a", *args).returncode == 1
    make.dir.joinpath("set.yaml").write_text("kind: StatefulSet\nmetadata: {name: db}\nspec: {template: {spec: {subdomain: s, dnsPolicy: Default}}}\n")
    assert run("resolvconf", "--pod", make.dir / "set.yaml", *args).stdout == NODE
    p = run("hosts", "--pod", make.dir / "set.yaml", "--pod-ip", "10.0.0.9")
    assert p.stdout.endswith("\n10.0.0.9\tdb-0.s.default.svc.cluster.local\tdb-0\n")


def test_hosts(make):
    status = {"podIP": "10.244.0.5", "podIPs": [{"ip": "10.244.0.5"}, {"ip": "fd00::5"}]}
    spec = {"subdomain": "sub", "hostname": "h", "hostAliases": [{"ip": "10.1.2.3", "hostnames": ["a", "b"]}]}
    p = run("hosts", "--pod", make(spec, status=status), "--cluster-domain", "c.l")
    assert p.returncode == 0 and p.stdout.startswith("# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n")
    assert p.stdout.endswith("fe00::2\tip6-allrouters\n10.244.0.5\th.sub.ns1.svc.c.l\th\nfd00::5\th.sub.ns1.svc.c.l\th\n"
                             "\n# Entries added by HostAliases.\n10.1.2.3\ta\tb\n")
    (make.dir / "hosts").write_text("127.0.0.1 node\n")
    p = run("hosts", "--pod", make({**spec, "hostNetwork": True}), "--node-hosts", make.dir / "hosts", "--output", "json")
    assert json.loads(p.stdout) == {"hostname": "h", "text": "# Kubernetes-managed hosts file (host network).\n127.0.0.1 node\n"
                                                             "\n# Entries added by HostAliases.\n10.1.2.3\ta\tb\n"}
    p = run("hosts", "--pod", make(spec))
    assert p.returncode == 1 and "the pod has no IP address" in p.stderr
    p = run("hosts", "--pod", make({"hostname": "A"}), "--pod-ip", "10.0.0.1")
    assert p.returncode == 1 and 'pod Hostname "A" is not a valid DNS label: a lowercase RFC 1123 label' in p.stderr
    spec = {"containers": [{"name": "c", "volumeMounts": [{"mountPath": "/etc/hosts"}]}]}
    assert "container c mounts its own /etc/hosts" in run("hosts", "--pod", make(spec), "--pod-ip", "10.0.0.1").stderr

"""deploy/kubernetes on a real API server: it takes every object, the swap from CoreDNS changes one line, the rights are enough."""
import json, re, subprocess
import dns.message, pytest, yaml
from realapi import RealApi, find, missing
from server import ROOT, Server
from test_deploy import KUBERNETES, build, objects

SKIP = missing("etcd", "kube-apiserver", "kubectl")
pytestmark = pytest.mark.skipif(SKIP is not None, reason=SKIP or "")


@pytest.fixture(scope="module")
def api(tmp_path_factory):
    with RealApi(tmp_path_factory.mktemp("api")) as a:
        yield a


def kubectl(api, *args, text=None, ok=(0,)):
    p = subprocess.run([find("kubectl"), "--kubeconfig", str(api.dir / "admin.kubeconfig"), *args], input=text, capture_output=True, text=True,
                       timeout=60)
    assert p.returncode in ok, p.stderr
    return p.stdout


def many(objs):
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objs)})


def test_a_swap_changes_one_line(api):
    coredns = [*build(KUBERNETES / "base"), objects("kubeadm")["ConfigMap", "coredns"]]
    made = kubectl(api, "apply", "--validate=strict", "-f", "-", text=many(coredns))
    assert made.count(" created\n") == len(coredns) == 6
    overlay = str(ROOT / "deploy/kubernetes/overlays/kubeadm")
    diff = kubectl(api, "diff", "-k", overlay, ok=(1,))
    changed = [line for line in diff.splitlines() if re.match(r"[-+](?![-+])", line) and "generation:" not in line]
    assert [" ".join(line.split()) for line in changed] == ["- image: registry.k8s.io/coredns/coredns:v1.14.6", "+ image: fairlead:0.1.0"]
    done = kubectl(api, "apply", "--validate=strict", "-k", overlay)
    assert [line.split()[0] for line in done.splitlines() if line.endswith("configured")] == ["deployment.apps/coredns"]
    assert kubectl(api, "-n", "kube-system", "get", "deployment", "coredns", "-o", "jsonpath={.spec.template.spec.containers[0].image}") == "fairlead:0.1.0"


def test_akss_objects_are_taken(api):
    objs = list(objects("aks").values()) + [yaml.safe_load((KUBERNETES / "examples/coredns-custom.yaml").read_text())]
    for o in objs:
        if o["kind"] == "Service":
            o["metadata"]["name"], o["spec"]["clusterIP"] = "kube-dns-aks", "10.96.0.11"        # of this server's range, beside kubeadm's
    kubectl(api, "apply", "--dry-run=server", "--validate=strict", "-f", "-", text=many(objs))


def test_the_rights_are_enough(api):
    """The user dns has what ClusterRole system:coredns of the manifests gives, and nothing else."""
    binding = objects("kubeadm")["ClusterRoleBinding", "system:coredns"]
    binding["metadata"]["name"], binding["subjects"] = "dns", [{"kind": "User", "name": "dns", "apiGroup": "rbac.authorization.k8s.io"}]
    kubectl(api, "apply", "-f", "-", text=many([objects("kubeadm")["ClusterRole", "system:coredns"], binding]))
    corefile = ".:{port} {\n errors\n kubernetes cluster.local {\n kubeconfig {kubeconfig} t\n pods verified\n }\n}\n"
    with Server(corefile, kubeconfig=str(api.dir / "dns.kubeconfig")) as s:
        reply = dns.message.from_wire(s.udp(dns.message.make_query("kubernetes.default.svc.cluster.local.", "A").to_wire()))
        assert reply.answer[0][0].address == "10.96.0.1"
        assert "orbidden" not in s.log() and "Failed" not in s.log(), s.log()

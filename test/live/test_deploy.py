"""deploy/kubernetes: every object against Kubernetes' own types, the fields against kubeadm's and AKS's, and each Corefile through -check."""
import json, shutil, subprocess
import jsonschema, pytest, yaml
from server import BINARY, ROOT

KUBERNETES = ROOT / "deploy/kubernetes"
SCHEMA = json.loads((ROOT / "test/live/fixtures/schema/kubernetes.json").read_text())
OVERLAYS = ["kubeadm", "aks"]
REQUIRED = {"Deployment": "apps/v1", "Service": "v1", "ServiceAccount": "v1", "ClusterRole": "rbac.authorization.k8s.io/v1",
            "ClusterRoleBinding": "rbac.authorization.k8s.io/v1", "ConfigMap": "v1", "PodDisruptionBudget": "policy/v1"}


# ---- a small kustomize: resources, JSON patches, images. kubectl, where there is one, says the same (below). ----

def step(node, key):
    return node[int(key)] if isinstance(node, list) else node[key]


def patch(obj, ops):
    for op in ops:
        *way, last = op["path"].strip("/").split("/")
        node = obj
        for key in way:
            node = step(node, key)
        if op["op"] == "add" and isinstance(node, list):
            node.insert(len(node) if last == "-" else int(last), op["value"])
        else:
            assert op["op"] == "add" or step(node, last) is not None
            node[int(last) if isinstance(node, list) else last] = op["value"]


def build(folder):
    k = yaml.safe_load((folder / "kustomization.yaml").read_text())
    assert set(k) <= {"apiVersion", "kind", "resources", "patches", "images"}, "the test's kustomize does not know this field"
    out = []
    for r in k["resources"]:
        path = folder / r
        out += build(path) if path.is_dir() else [d for d in yaml.safe_load_all(path.read_text()) if d]
    for p in k.get("patches", []):
        to = [o for o in out if o["kind"] == p["target"]["kind"] and o["metadata"]["name"] == p["target"]["name"]]
        assert len(to) == 1
        patch(to[0], yaml.safe_load((folder / p["path"]).read_text()))
    for image in k.get("images", []):
        for o in out:
            for c in o.get("spec", {}).get("template", {}).get("spec", {}).get("containers", []):
                if c["image"].split(":")[0] == image["name"]:
                    c["image"] = f"{image['newName']}:{image['newTag']}"
    return out


def objects(overlay):
    all_ = build(KUBERNETES / "overlays" / overlay)
    names = [(o["kind"], o["metadata"]["name"]) for o in all_]
    assert len(set(names)) == len(names)
    return dict(zip(names, all_))


def pod(overlay):
    spec = objects(overlay)["Deployment", "coredns"]["spec"]["template"]["spec"]
    assert len(spec["containers"]) == 1
    return spec, spec["containers"][0]


# ---- objects ----

@pytest.mark.parametrize("overlay", OVERLAYS)
def test_objects_are_valid(overlay):
    for o in objects(overlay).values():
        assert o["apiVersion"] == REQUIRED[o["kind"]]
        jsonschema.validate(o, {"$ref": f"#/definitions/{o['kind']}", "definitions": SCHEMA["definitions"]})


def test_the_schema_sees_a_misspelling():
    o = objects("kubeadm")["Deployment", "coredns"]
    o["spec"]["template"]["spec"]["containers"][0]["livenesProbe"] = {}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(o, {"$ref": "#/definitions/Deployment", "definitions": SCHEMA["definitions"]})


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_kubectl_builds_the_same(overlay):
    if not shutil.which("kubectl"):
        pytest.skip("no kubectl")
    text = subprocess.run(["kubectl", "kustomize", str(KUBERNETES / "overlays" / overlay)], capture_output=True, text=True, check=True).stdout
    theirs = {(o["kind"], o["metadata"]["name"]): o for o in yaml.safe_load_all(text)}
    assert theirs == objects(overlay)


def test_what_kubeadm_makes():
    """phases/addons/dns of Kubernetes 1.37: the same objects, no more."""
    o = objects("kubeadm")
    assert set(o) == {("ServiceAccount", "coredns"), ("ClusterRole", "system:coredns"), ("ClusterRoleBinding", "system:coredns"),
                      ("ConfigMap", "coredns"), ("Service", "kube-dns"), ("Deployment", "coredns")}
    for (kind, _), obj in o.items():
        assert ("namespace" in obj["metadata"]) == (not kind.startswith("Cluster"))
        assert obj["metadata"].get("namespace", "kube-system") == "kube-system"


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_deployment(overlay):
    d = objects(overlay)["Deployment", "coredns"]
    label = {"k8s-app": "kube-dns"}
    assert d["metadata"]["labels"] == d["spec"]["selector"]["matchLabels"] == d["spec"]["template"]["metadata"]["labels"] == label
    assert d["spec"]["replicas"] == 2
    assert d["spec"]["strategy"] == {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1}}
    spec, c = pod(overlay)
    assert spec["priorityClassName"] == "system-cluster-critical" and spec["dnsPolicy"] == "Default"
    assert spec["serviceAccountName"] == "coredns" and spec["nodeSelector"] == {"kubernetes.io/os": "linux"}
    anti, = spec["affinity"]["podAntiAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"]
    assert spec["affinity"].keys() == {"podAntiAffinity"} and anti["weight"] == 100
    assert anti["podAffinityTerm"] == {"topologyKey": "kubernetes.io/hostname", "labelSelector": {
        "matchExpressions": [{"key": "k8s-app", "operator": "In", "values": ["kube-dns"]}]}}
    assert spec["tolerations"] == [{"key": "CriticalAddonsOnly", "operator": "Exists"},
                                   {"key": "node-role.kubernetes.io/control-plane", "effect": "NoSchedule"}]
    assert not {"hostNetwork", "hostPID", "hostIPC", "initContainers"} & spec.keys()
    assert c["name"] == "coredns" and c["args"] == ["-conf", "/etc/coredns/Corefile"] and "command" not in c
    assert [(p["name"], p["containerPort"], p["protocol"]) for p in c["ports"]] == [
        ("dns", 53, "UDP"), ("dns-tcp", 53, "TCP"), ("metrics", 9153, "TCP"), ("liveness-probe", 8080, "TCP"), ("readiness-probe", 8181, "TCP")]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_probes(overlay):
    c = pod(overlay)[1]
    assert c["livenessProbe"] == {"httpGet": {"path": "/health", "port": 8080, "scheme": "HTTP"}, "initialDelaySeconds": 60,
                                  "timeoutSeconds": 5, "successThreshold": 1, "failureThreshold": 5}
    assert c["readinessProbe"] == {"httpGet": {"path": "/ready", "port": 8181, "scheme": "HTTP"}}


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_security(overlay):
    c = pod(overlay)[1]
    assert c["securityContext"] == {"runAsNonRoot": True, "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True,
                                    "capabilities": {"add": ["NET_BIND_SERVICE"], "drop": ["ALL"]}}
    assert c["volumeMounts"] and all(m["readOnly"] is True for m in c["volumeMounts"])


@pytest.mark.parametrize("overlay,limits,mounts", [
    ("kubeadm", {"memory": "170Mi"}, {"/etc/coredns": "coredns"}),
    ("aks", {"cpu": "3", "memory": "500Mi"}, {"/etc/coredns": "coredns", "/etc/coredns/custom": "coredns-custom"}),
])
def test_resources_and_mounts(overlay, limits, mounts):
    spec, c = pod(overlay)
    assert c["resources"] == {"requests": {"cpu": "100m", "memory": "70Mi"}, "limits": limits}
    volumes = {v["name"]: v["configMap"] for v in spec["volumes"]}
    assert {m["mountPath"]: volumes[m["name"]]["name"] for m in c["volumeMounts"]} == mounts
    assert volumes["config-volume"]["items"] == [{"key": "Corefile", "path": "Corefile"}]
    maps = {name for kind, name in objects(overlay) if kind == "ConfigMap"}
    assert set(mounts.values()) <= maps
    assert volumes.get("custom-config-volume", {"optional": True})["optional"] is True


@pytest.mark.parametrize("overlay,address", [("kubeadm", "10.96.0.10"), ("aks", "10.0.0.10")])
def test_service(overlay, address):
    s = objects(overlay)["Service", "kube-dns"]
    assert s["metadata"]["annotations"] == {"prometheus.io/port": "9153", "prometheus.io/scrape": "true"}
    assert s["metadata"]["labels"] == {"k8s-app": "kube-dns", "kubernetes.io/cluster-service": "true", "kubernetes.io/name": "CoreDNS"}
    assert s["spec"]["clusterIP"] == address and s["spec"]["selector"] == {"k8s-app": "kube-dns"}
    assert [(p["name"], p["port"], p["targetPort"], p["protocol"]) for p in s["spec"]["ports"]] == [
        ("dns", 53, 53, "UDP"), ("dns-tcp", 53, 53, "TCP"), ("metrics", 9153, 9153, "TCP")]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_rights(overlay):
    o = objects(overlay)
    assert o["ClusterRole", "system:coredns"]["rules"] == [
        {"apiGroups": [""], "resources": ["endpoints", "services", "pods", "namespaces"], "verbs": ["list", "watch"]},
        {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["list", "watch"]}]
    b = o["ClusterRoleBinding", "system:coredns"]
    assert b["roleRef"] == {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "system:coredns"}
    assert b["subjects"] == [{"kind": "ServiceAccount", "name": "coredns", "namespace": "kube-system"}]


def test_what_aks_adds():
    o = objects("aks")
    assert o["PodDisruptionBudget", "coredns-pdb"]["spec"] == {"minAvailable": 1, "selector": {"matchLabels": {"k8s-app": "kube-dns"}}}
    assert json.loads(o["ConfigMap", "coredns-autoscaler"]["data"]["ladder"]) == {
        "coresToReplicas": [[1, 2], [512, 3], [1024, 4], [2048, 5]], "nodesToReplicas": [[1, 2], [8, 3], [16, 4], [32, 5]]}
    assert o["ConfigMap", "coredns-custom"]["data"] == {}


def test_one_line_changes_the_image():
    for overlay in OVERLAYS:
        ours = pod(overlay)[1]["image"]
        theirs = next(o for o in build(KUBERNETES / "base") if o["kind"] == "Deployment")["spec"]["template"]["spec"]["containers"][0]["image"]
        assert theirs.startswith("registry.k8s.io/coredns/coredns:") and ours.startswith("fairlead:")


# ---- Corefiles ----

def lines(corefile):
    return [" ".join(line.split()) for line in corefile.splitlines() if line.strip()]


KUBE = ["kubernetes cluster.local in-addr.arpa ip6.arpa {", "pods insecure", "fallthrough in-addr.arpa ip6.arpa", "ttl 30", "}"]


def test_kubeadms_corefile():
    assert lines(objects("kubeadm")["ConfigMap", "coredns"]["data"]["Corefile"]) == [
        ".:53 {", "errors", "health {", "lameduck 5s", "}", "ready", *KUBE, "prometheus :9153", "forward . /etc/resolv.conf {",
        "max_concurrent 1000", "}", "cache 30 {", "disable success cluster.local", "disable denial cluster.local", "}", "loop", "reload",
        "loadbalance", "}"]


def test_akss_corefile():
    assert lines(objects("aks")["ConfigMap", "coredns"]["data"]["Corefile"]) == [
        ".:53 {", "errors", "ready", "health {", "lameduck 5s", "}", *KUBE, "prometheus :9153", "forward . /etc/resolv.conf", "cache 30",
        "loop", "reload", "loadbalance", "import custom/*.override", "template ANY ANY internal.cloudapp.net {",
        r'match "^(?:[^.]+\.){4,}internal\.cloudapp\.net\.$"', "rcode NXDOMAIN", "fallthrough", "}",
        "template ANY ANY reddog.microsoft.com {", "rcode NXDOMAIN", "}", "}", "import custom/*.server"]


@pytest.mark.parametrize("overlay,custom", [("kubeadm", None), ("aks", None), ("aks", "coredns-custom.yaml")])
def test_corefiles_pass_check(tmp_path, overlay, custom):
    o = objects(overlay)
    (tmp_path / "Corefile").write_text(o["ConfigMap", "coredns"]["data"]["Corefile"])
    (tmp_path / "custom").mkdir()
    if custom:
        obj = yaml.safe_load((KUBERNETES / "examples" / custom).read_text())
        jsonschema.validate(obj, {"$ref": "#/definitions/ConfigMap", "definitions": SCHEMA["definitions"]})
        for name, text in obj["data"].items():
            (tmp_path / "custom" / name).write_text(text)
    p = subprocess.run([BINARY, "-check", "-conf", str(tmp_path / "Corefile")], capture_output=True, text=True, timeout=20)
    assert p.returncode == 0, p.stderr
    blocks = 5 if custom else 1
    assert f"ok, {blocks} server block{'s' if blocks > 1 else ''}, 0 warnings" in p.stdout

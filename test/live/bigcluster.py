"""A believable big cluster for benchmarks, made quickly: objects of one shape are one encoded template with the texts put in.

Every text has a fixed width, so that a template needs no length patched: names svc-00042, addresses 1xx.1xx.1xx.1xx, versions of six
digits. An object costs about as many bytes as a real API server sends for it, managedFields and all (1.1 KB a service, 2.3 KB a
slice of ten endpoints)."""
import k8spb

WHEN = "2026-01-02T03:04:05Z"


def spread(*keys, **inner):
    return {**{"f:" + k: {} for k in keys}, **{"f:" + k: v for k, v in inner.items()}}


def managed(version, tree):
    return [{"manager": "kube-controller-manager", "operation": "Update", "apiVersion": version, "time": WHEN,
             "fieldsType": "FieldsV1", "fieldsV1": tree}]


def meta(v, name, uid, **more):
    return {"name": name, "namespace": v["ns"], "uid": f"0000000{uid}-0000-4000-8000-{v['uid']}", "resourceVersion": v["rv"],
            "creationTimestamp": WHEN, **more}


def namespace(v, _shape):
    return {"metadata": {"name": v["ns"], "uid": "00000000-0000-4000-8000-" + v["uid"], "resourceVersion": v["rv"],
                         "creationTimestamp": WHEN, "labels": {"kubernetes.io/metadata.name": v["ns"]}},
            "spec": {"finalizers": ["kubernetes"]}, "status": {"phase": "Active"}}


def service(v, shape):
    ip = "None" if shape else v["ip"]
    port = spread("name", "port", "targetPort")
    tree = spread(metadata=spread(annotations={".": {}, **spread("meta.helm.sh/release-name", "meta.helm.sh/release-namespace")},
                                  labels={".": {}, **spread("app", "helm.sh/chart", "tier")}),
                  spec=spread("internalTrafficPolicy", "selector", "sessionAffinity", "type", ports={
                      ".": {}, 'k:{"port":80,"protocol":"TCP"}': port, 'k:{"port":9090,"protocol":"TCP"}': port}))
    return {"metadata": meta(v, v["svc"], 1, labels={"app": v["svc"], "tier": "backend", "helm.sh/chart": "shop-1.2.3"},
                             annotations={"meta.helm.sh/release-name": "shop", "meta.helm.sh/release-namespace": v["ns"],
                                          "example.com/description": "what the team that owns it wants to be told when it is broken " * 3},
                             managedFields=managed("v1", tree)),
            "spec": {"ports": [{"name": "http", "protocol": "TCP", "port": 80, "targetPort": 8080},
                               {"name": "metrics", "protocol": "TCP", "port": 9090, "targetPort": "metrics"}],
                     "selector": {"app": v["svc"]}, "clusterIP": ip, "clusterIPs": [ip], "type": "ClusterIP", "sessionAffinity": "None",
                     "ipFamilies": ["IPv4"], "ipFamilyPolicy": "SingleStack", "internalTrafficPolicy": "Cluster"},
            "status": {"loadBalancer": {}}}


def endpoint(v, shape, k):
    e = {"addresses": [v[f"ep{k}"]], "conditions": {"ready": True, "serving": True, "terminating": False}, "nodeName": v[f"node{k}"],
         "zone": v[f"zone{k}"],
         "targetRef": {"kind": "Pod", "namespace": v["ns"], "name": f"{v['svc']}-5d4f8c7b6d-{k:05d}",
                       "uid": f"00000002-0000-4000-8000-{v[f'pod{k}']}"}}
    return {**e, "hostname": f"pod-{k:03d}"} if shape else e


def slice_(v, shape, per):
    name = v["svc"]
    owner = {"apiVersion": "v1", "kind": "Service", "name": name, "controller": True, "blockOwnerDeletion": True,
             "uid": "00000001-0000-4000-8000-" + v["uid"]}
    tree = spread("addressType", "endpoints", "ports", metadata=spread(
        "generateName", annotations={".": {}, **spread("endpoints.kubernetes.io/last-change-trigger-time")},
        labels={".": {}, **spread("app", "endpointslice.kubernetes.io/managed-by", "kubernetes.io/service-name")},
        ownerReferences={".": {}, 'k:{"uid":"%s"}' % owner["uid"]: {}}))
    return {"metadata": meta(v, name + "-abcde", 3, generateName=name + "-", generation=1, ownerReferences=[owner],
                             labels={"app": name, "kubernetes.io/service-name": name,
                                     "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io"},
                             annotations={"endpoints.kubernetes.io/last-change-trigger-time": WHEN},
                             managedFields=managed("discovery.k8s.io/v1", tree)),
            "addressType": "IPv4", "endpoints": [endpoint(v, shape, k) for k in range(per)],
            "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}, {"name": "metrics", "port": 9090, "protocol": "TCP"}]}


def pod(v, _shape):
    tree = spread(metadata=spread("generateName", labels={".": {}, **spread("app", "pod-template-hash", "tier")},
                                  ownerReferences={".": {}, 'k:{"uid":"%s"}' % v["uid"]: {}}),
                  spec=spread("containers", "dnsPolicy", "enableServiceLinks", "restartPolicy", "schedulerName", "securityContext",
                              "terminationGracePeriodSeconds", "tolerations", "volumes"),
                  status=spread("conditions", "containerStatuses", "hostIP", "hostIPs", "phase", "podIP", "podIPs", "startTime"))
    return {"metadata": meta(v, v["pod"], 2, generateName=v["svc"] + "-5d4f8c7b6d-",
                             labels={"app": v["svc"], "tier": "backend", "pod-template-hash": "5d4f8c7b6d"},
                             ownerReferences=[{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": v["svc"] + "-5d4f8c7b6d", "controller": True,
                                               "blockOwnerDeletion": True, "uid": "00000004-0000-4000-8000-" + v["uid"]}],
                             managedFields=managed("v1", tree)),
            "spec": {"nodeName": v["node0"]},
            "status": {"phase": "Running", "podIP": v["ip"], "podIPs": [{"ip": v["ip"]}]}}


def address(n, first):
    """100.100.100.100 and up: three digits each."""
    return f"{first}.{100 + n // 14400 % 120}.{100 + n // 120 % 120}.{100 + n % 120}"


class Big:
    """`services` in `namespaces`, each with a slice of `per` endpoints; every `headless`th is headless (its shape is 1, else 0)."""

    def __init__(self, services=10000, per=10, namespaces=100, headless=10, pods=0):
        self.services, self.per, self.namespaces, self.headless, self.pods = services, per, namespaces, headless, pods
        self.templates = {}

    def count(self, res):
        return {"namespaces": self.namespaces, "pods": self.pods}.get(res, self.services)

    def key(self, res, i):
        ns = f"ns-{i % self.namespaces:03d}"
        if res == "pods":
            return ns, self.pod(i)
        return ("", ns) if res == "namespaces" else (ns, f"svc-{i:05d}" + ("-abcde" if res == "endpointslices" else ""))

    def pod(self, i):
        return f"svc-{i % self.services:05d}-5d4f8c7b6d-{i // self.services:05d}"

    def shape(self, i):
        return int(i % self.headless == self.headless - 1)

    def values(self, res, i, rv, turn=0):
        """turn: another set of addresses, for updates."""
        v = {"rv": f"{rv:06d}", "uid": f"{i:012d}", "ns": f"ns-{i % self.namespaces:03d}", "svc": f"svc-{i:05d}", "ip": address(i, 172)}
        if res == "pods":
            v.update(svc=f"svc-{i % self.services:05d}", pod=self.pod(i), ip=address(i, 110), node0=f"node-{i % 500:03d}")
        if res == "endpointslices":
            base = (i + turn * self.services) * self.per
            for k in range(self.per):
                v[f"ep{k}"] = address(base + k, 110)
                v[f"pod{k}"] = f"{base + k:012d}"
                v[f"node{k}"] = f"node-{(i + k) % 500:03d}"
                v[f"zone{k}"] = f"zone-{(i + k) % 3}"
        return v

    def make(self, res, v, shape):
        if res == "endpointslices":
            return slice_(v, shape, self.per)
        return {"services": service, "namespaces": namespace, "pods": pod}[res](v, shape)

    def data(self, res, i, rv, turn=0):
        return self.make(res, self.values(res, i, rv, turn), self.shape(i))

    def template(self, res, shape):
        """Encoded with marks of the right width, which then become places of a format."""
        if (res, shape) not in self.templates:
            marks = {k: f"@{n:x}$".ljust(len(t), "~") for n, (k, t) in enumerate(self.values(res, 0, 0).items())}
            raw = k8spb.encode({"services": "Service", "endpointslices": "EndpointSlice", "namespaces": "Namespace", "pods": "Pod"}[res],
                               self.make(res, marks, shape)).replace(b"%", b"%%")
            for k, m in marks.items():
                raw = raw.replace(m.encode(), f"%({k})b".encode())
            self.templates[res, shape] = raw
        return self.templates[res, shape]

    def proto(self, res, i, rv, turn=0):
        values = {k.encode(): t.encode() for k, t in self.values(res, i, rv, turn).items()}
        return self.template(res, self.shape(i)) % values

"""A real kube-apiserver with etcd for a test, on loopback, without nodes or root. Binaries: $PEERS (a folder) or PATH; absent ones mean a
skip. Objects are made through the real API by raw HTTP."""
import json, os, pathlib, shutil, ssl, subprocess, time, urllib.request
from server import free_port


def find(name):
    where = os.environ.get("PEERS")
    path = shutil.which(name, path=where) if where else None
    return path or shutil.which(name)


def missing(*names):
    gone = [n for n in names if not find(n)]
    return f"not installed here: {', '.join(gone)} (set PEERS to a folder that has them)" if gone else None


class RealApi:
    def __init__(self, folder):
        self.dir = pathlib.Path(folder)
        self.port, self.etcd_port, self.peer_port = free_port(), free_port(), free_port()
        self.procs = []

    def openssl(self, *args, ext=None):
        subprocess.run(["openssl", *args], cwd=self.dir, check=True, capture_output=True)

    def certificates(self):
        d = self.dir
        self.openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", "ca.key")
        self.openssl("req", "-x509", "-new", "-key", "ca.key", "-subj", "/CN=test-ca", "-days", "30", "-out", "ca.crt", "-addext",
                     "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign,cRLSign")
        for name, subject, ext in (("server", "/CN=kube-apiserver", "subjectAltName=DNS:localhost,IP:127.0.0.1\nextendedKeyUsage=serverAuth\n"),
                                   ("admin", "/O=system:masters/CN=admin", "extendedKeyUsage=clientAuth\n")):
            (d / f"{name}.ext").write_text(ext)
            self.openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", f"{name}.key")
            self.openssl("req", "-new", "-key", f"{name}.key", "-subj", subject, "-out", f"{name}.csr")
            self.openssl("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-days", "30", "-extfile",
                         f"{name}.ext", "-out", f"{name}.crt")
        self.openssl("genrsa", "-out", "sa.key", "2048")
        self.openssl("rsa", "-in", "sa.key", "-pubout", "-out", "sa.pub")
        (d / "tokens.csv").write_text('admin-token,admin,1,"system:masters"\ndns-token,dns,2,"dns"\n')
        for user in ("admin", "dns"):
            (d / f"{user}.kubeconfig").write_text(json.dumps({
                "apiVersion": "v1", "kind": "Config", "current-context": "t",
                "clusters": [{"name": "t", "cluster": {"server": f"https://127.0.0.1:{self.port}", "certificate-authority": "ca.crt"}}],
                "users": [{"name": user, "user": {"token": f"{user}-token"}}],
                "contexts": [{"name": "t", "context": {"cluster": "t", "user": user}}]}))

    def spawn(self, name, *args):
        log = open(self.dir / f"{name}.log", "ab")
        self.procs.append(subprocess.Popen([find(name), *args], stdout=log, stderr=log, stdin=subprocess.DEVNULL))
        return self.procs[-1]

    def start_api(self):
        d = self.dir
        self.api = self.spawn(
            "kube-apiserver", f"--etcd-servers=http://127.0.0.1:{self.etcd_port}", "--bind-address=127.0.0.1", f"--secure-port={self.port}",
            "--advertise-address=127.0.0.1", "--endpoint-reconciler-type=none", f"--tls-cert-file={d}/server.crt",
            f"--tls-private-key-file={d}/server.key", f"--client-ca-file={d}/ca.crt", f"--token-auth-file={d}/tokens.csv",
            "--service-account-issuer=https://kubernetes.default.svc", f"--service-account-key-file={d}/sa.pub",
            f"--service-account-signing-key-file={d}/sa.key", "--authorization-mode=RBAC",
            "--service-cluster-ip-range=10.96.0.0/16,fd00:10:96::/112", "--disable-admission-plugins=ServiceAccount",
            "--shutdown-watch-termination-grace-period=1s")
        end = time.time() + 60
        while time.time() < end:
            try:
                if self.request("GET", "/readyz", raw=True) == b"ok":
                    return
            except OSError:
                pass
            time.sleep(0.2)
        raise AssertionError("kube-apiserver did not get ready: " + (d / "kube-apiserver.log").read_text()[-2000:])

    def __enter__(self):
        self.certificates()
        url = f"http://127.0.0.1:{self.etcd_port}"
        self.spawn("etcd", "--name", "t", "--data-dir", str(self.dir / "etcd"), "--unsafe-no-fsync", "--log-level", "warn", "--listen-client-urls",
                   url, "--advertise-client-urls", url, "--listen-peer-urls", f"http://127.0.0.1:{self.peer_port}",
                   "--initial-advertise-peer-urls", f"http://127.0.0.1:{self.peer_port}", "--initial-cluster",
                   f"t=http://127.0.0.1:{self.peer_port}")
        self.start_api()
        return self

    def stop_api(self):
        self.api.kill()
        self.api.wait()

    def __exit__(self, *_):
        for p in reversed(self.procs):
            p.kill()
            p.wait()

    def request(self, method, path, body=None, kind="application/json", raw=False):
        ctx = ssl.create_default_context(cafile=str(self.dir / "ca.crt"))
        r = urllib.request.Request(f"https://127.0.0.1:{self.port}{path}", method=method, data=json.dumps(body).encode() if body is not None else None,
                                   headers={"Authorization": "Bearer admin-token", "Content-Type": kind})
        with urllib.request.urlopen(r, context=ctx, timeout=10) as f:
            data = f.read()
        return data if raw else json.loads(data)

    def create(self, o):
        ns = o["metadata"].get("namespace")
        base = "/apis/discovery.k8s.io/v1" if o["kind"] == "EndpointSlice" else "/apis/rbac.authorization.k8s.io/v1" \
            if o["kind"].startswith("ClusterRole") else "/api/v1"
        status = o.pop("status", None)
        made = self.request("POST", base + (f"/namespaces/{ns}" if ns else "") + "/" + plural(o["kind"]), o)
        if status:
            self.request("PATCH", f"{base}/namespaces/{ns}/{plural(o['kind'])}/{o['metadata']['name']}/status", {"status": status},
                         "application/merge-patch+json")
        return made

    def patch(self, kind, ns, name, body):
        base = "/apis/discovery.k8s.io/v1" if kind == "EndpointSlice" else "/api/v1"
        return self.request("PATCH", f"{base}/namespaces/{ns}/{plural(kind)}/{name}", body, "application/merge-patch+json")

    def delete(self, kind, ns, name):
        base = "/apis/discovery.k8s.io/v1" if kind == "EndpointSlice" else "/api/v1"
        return self.request("DELETE", f"{base}/namespaces/{ns}/{plural(kind)}/{name}")


def plural(kind):
    return kind.lower() + "s"

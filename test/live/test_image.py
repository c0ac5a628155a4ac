"""make image: the archive is what it says, and runs as a pod with kubeadm's and AKS's manifests would (deploy/kubernetes)."""
import gzip, hashlib, io, json, os, pathlib, shutil, subprocess, sys, tarfile
import pytest, yaml
from fakeapi import make_certificates
from server import BINARY, ROOT
from test_deploy import objects

HERE = pathlib.Path(__file__).resolve().parent


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    out = tmp_path_factory.mktemp("image") / "image.tar"
    if "asan" in BINARY or "tsan" in BINARY:
        pytest.skip("a build with sanitizers is no image")
    subprocess.run([ROOT / "tools/image", "--binary", BINARY, "--name", "fairlead:test", "--out", out], check=True)
    with tarfile.open(out) as tar:
        return out, {m.name: tar.extractfile(m).read() for m in tar.getmembers()}


def parts(files):
    index = json.loads(files["index.json"])
    manifest = json.loads(blob(files, index["manifests"][0]))
    return manifest, json.loads(blob(files, manifest["config"])), gzip.decompress(blob(files, manifest["layers"][0]))


def blob(files, d):
    data = files["blobs/sha256/" + d["digest"].removeprefix("sha256:")]
    assert len(data) == d["size"] and hashlib.sha256(data).hexdigest() == d["digest"].removeprefix("sha256:")
    return data


def test_archive(image):
    out, files = image
    assert out.stat().st_size <= 20e6
    manifest, config, layer = parts(files)
    assert config["rootfs"]["diff_ids"] == ["sha256:" + hashlib.sha256(layer).hexdigest()]
    assert config["config"]["User"] == "65532:65532" and config["config"]["Entrypoint"] == ["/coredns"]
    docker, = json.loads(files["manifest.json"])
    assert docker["RepoTags"] == ["fairlead:test"] and files[docker["Config"]] == blob(files, manifest["config"])
    assert [files[x] for x in docker["Layers"]] == [blob(files, d) for d in manifest["layers"]]


def test_layer(image):
    with tarfile.open(fileobj=io.BytesIO(parts(image[1])[2])) as tar:
        members = {m.name: m for m in tar.getmembers()}
        assert members["coredns"].issym() and members["coredns"].linkname == "usr/sbin/fairlead"
        passwd = tar.extractfile("etc/passwd").read().decode()
    assert "nonroot:x:65532:65532:" in passwd and "etc/ssl/certs/ca-certificates.crt" in members
    assert members["usr/sbin/fairlead"].pax_headers["SCHILY.xattr.security.capability"].encode()[:8] == b"\1\0\0\2\0\4\0\0"
    assert not [m.name for m in members.values() if m.mode & 0o6000 or (m.mode & 0o022 and not m.issym() and m.name != "tmp")]
    assert not [n for n in members if n.endswith(("/sh", "/bash", "/dash"))]
    for name in members:
        if name.startswith("usr/share/doc/") and members[name].isdir():
            assert name + "/copyright" in members


def test_the_same_again(image, tmp_path):
    subprocess.run([ROOT / "tools/image", "--binary", BINARY, "--name", "fairlead:test", "--out", tmp_path / "again.tar"], check=True)
    assert (tmp_path / "again.tar").read_bytes() == image[0].read_bytes()


def unpack(layer, root):
    with tarfile.open(fileobj=io.BytesIO(layer)) as tar:
        for m in tar.getmembers():
            tar.extract(m, root, numeric_owner=True)
            for key, value in m.pax_headers.items():
                if key.startswith("SCHILY.xattr."):
                    os.setxattr(root / m.name, key.removeprefix("SCHILY.xattr."), value.encode())


def privileged():
    if os.geteuid() or not shutil.which("unshare") or subprocess.run(["unshare", "-m", "-n", "-p", "-f", "mount", "-t", "tmpfs", "none", "/mnt"],
                                                                    capture_output=True).returncode:
        pytest.skip("starting the image needs root, with namespaces")


CLUSTER = [["kubernetes.default.svc.cluster.local.", "A"], ["_https._tcp.kubernetes.default.svc.cluster.local.", "SRV"],
           ["1.0.96.10.in-addr.arpa.", "PTR"], ["absent.default.svc.cluster.local.", "A"]]


@pytest.mark.parametrize("overlay,custom", [("kubeadm", None), ("aks", "coredns-custom.yaml")])
def test_it_runs_as_a_pod(image, tmp_path, overlay, custom):
    privileged()
    root, volumes = tmp_path / "root", tmp_path / "volumes"
    tmp_path.chmod(0o755)
    unpack(parts(image[1])[2], root)
    (volumes / "coredns/custom").mkdir(parents=True)
    (volumes / "coredns/Corefile").write_text(objects(overlay)["ConfigMap", "coredns"]["data"]["Corefile"])
    questions = list(CLUSTER)
    if custom:
        for name, text in yaml.safe_load((ROOT / "deploy/kubernetes/examples" / custom).read_text())["data"].items():
            (volumes / "coredns/custom" / name).write_text(text)
        questions += [["example.hosts.org.", "A"], ["x.reddog.microsoft.com.", "A"]]
    make_certificates(volumes / "tls")
    (volumes / "account").mkdir()
    shutil.copy(volumes / "tls/ca.crt", volumes / "account/ca.crt")
    (volumes / "account/token").write_text("secret-token")
    (volumes / "account/namespace").write_text("kube-system")
    (volumes / "resolv.conf").write_text("nameserver 192.0.2.1\n")
    (volumes / "questions").write_text(json.dumps(questions))
    p = subprocess.run(["unshare", "-m", "-n", "-p", "-f", sys.executable, str(HERE / "inside.py"), str(root), str(volumes)],
                       capture_output=True, text=True, timeout=240)
    assert p.returncode == 0, p.stderr
    seen = json.loads(p.stdout)
    assert "error" not in seen, p.stderr
    a = {k.split()[0].split(".")[0] + " " + k.split()[1]: v for k, v in seen["answers"].items()}
    assert a["kubernetes A"] == seen["tcp"] == ["NOERROR", "10.96.0.1"] and a["absent A"] == ["NXDOMAIN"]
    assert a["_https SRV"] == ["NOERROR", "0 100 443 kubernetes.default.svc.cluster.local."]
    assert a["1 PTR"] == ["NOERROR", "kubernetes.default.svc.cluster.local."] and seen["new"] == ["NOERROR", "10.96.0.2"]
    if custom:
        assert a["example A"] == ["NOERROR", "10.0.0.1"] and a["x A"] == ["NXDOMAIN"]
    assert (seen["health"], seen["ready"], seen["metrics"], seen["build"], seen["exit"]) == (200, 200, 200, True, 0)
    st, only = seen["status"], "%016x" % (1 << 10)
    assert st["Uid"] == ["65532"] * 4 and st["Gid"] == ["65532"] * 4 and seen["root"] and st["NoNewPrivs"] == ["1"]
    assert st["Seccomp"] == ["2"]
    assert st["CapEff"] == st["CapPrm"] == st["CapBnd"] == [only] and st["CapAmb"] == st["CapInh"] == ["0" * 16]
    assert "secret-token" not in p.stderr


@pytest.fixture(scope="module")
def agnhost(tmp_path_factory):
    d = tmp_path_factory.mktemp("agnhost")
    if "asan" in BINARY or "tsan" in BINARY:
        pytest.skip("a build with sanitizers is no image")
    for name in ("image.tar", "again.tar"):
        subprocess.run([ROOT / "tools/image", "--agnhost", "--binary", pathlib.Path(BINARY).parent / "fairctl", "--out", d / name], check=True)
    with tarfile.open(d / "image.tar") as tar:
        return d, {m.name: tar.extractfile(m).read() for m in tar.getmembers()}


def test_agnhost_archive(agnhost):
    d, files = agnhost
    assert (d / "image.tar").read_bytes() == (d / "again.tar").read_bytes()
    _, config, layer = parts(files)
    assert config["config"]["Entrypoint"] == ["/agnhost"] and config["config"]["Cmd"] == ["pause"] and "User" not in config["config"]
    with tarfile.open(fileobj=io.BytesIO(layer)) as tar:
        members = {m.name: m for m in tar.getmembers()}
    for name, target in [("agnhost", "usr/bin/fairctl"), ("usr/bin/nslookup", "fairctl"), ("usr/bin/sleep", "fairctl"), ("usr/bin/sh", "dash")]:
        assert members[name].issym() and members[name].linkname == target
    assert members["usr/bin/dash"].mode == 0o755 and "usr/share/doc/dash/copyright" in members and "usr/sbin/fairlead" not in members


def test_agnhost_runs(agnhost, tmp_path):
    """In a root of its own: the shell, the links, the libraries are all there."""
    if os.geteuid():
        pytest.skip("chroot needs root")
    unpack(parts(agnhost[1])[2], tmp_path)
    (tmp_path / "etc/resolv.conf").write_text("search a.example b.example\nnameserver 127.0.0.1\n")

    def inside(*args):
        p = subprocess.run([shutil.which("chroot"), str(tmp_path), *args], capture_output=True, text=True, timeout=60, env={"PATH": "/usr/bin:/bin"})
        return p.returncode, p.stdout
    assert inside("/agnhost", "dns-suffix") == (0, "a.example,b.example\n")
    assert inside("/bin/sh", "-c", "sleep 0 && agnhost dns-server-list") == (0, "127.0.0.1\n")
    code, out = inside("nslookup", "-port=1", "-timeout=1", "x", "127.0.0.1")
    assert code == 1 and out.endswith(";; no servers could be reached\n\n")
    assert inside("fairctl", "query", "--server", "tls://127.0.0.1:1", "x", "A")[0] == 1

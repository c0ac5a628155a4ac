"""A server whose -conf is the folder that kube-dns's ConfigMap is mounted at: what it serves, changes of the mount, its probes, bad keys."""
import json, os, pathlib, shutil, subprocess, sys
import pytest
from server import BINARY

HERE = pathlib.Path(__file__).resolve().parent


def mount(folder, state, **keys):
    """As kubelet's atomic writer does: a folder for each state, and one rename of ..data."""
    (folder / f"..{state}").mkdir(parents=True)
    for name, text in keys.items():
        (folder / f"..{state}" / name).write_text(text)
        if not (folder / name).is_symlink():
            (folder / name).symlink_to(f"..data/{name}")
    (folder / "..tmp").symlink_to(f"..{state}")
    (folder / "..tmp").rename(folder / "..data")


def check(folder, **env):
    return subprocess.run([BINARY, "-check", "-conf", str(folder)], capture_output=True, text=True, timeout=30, env={**os.environ, **env})


@pytest.mark.parametrize("keys,want", [
    (dict(stubDomains='{"acme.local": ["127.0.0.1:1"], "b.test": ["127.0.0.1:2"]}', upstreamNameservers='["127.0.0.1:3"]'), "ok, 3 server blocks"),
    (dict(other="x"), "ok, 1 server block,"), (dict(federations="a=b.c"), "ok, 1 server block,"),
])
def test_check(tmp_path, keys, want):
    mount(tmp_path / "kube-dns", 1, **keys)
    p = check(tmp_path / "kube-dns")
    assert p.returncode == 0 and want in p.stdout, p.stdout + p.stderr


@pytest.mark.parametrize("keys,want", [
    (dict(stubDomains='{"acme.local": "127.0.0.1"}'), "stubDomains: json: cannot unmarshal string into Go value of type []string"),
    (dict(stubDomains='{\n"acme.local": [}'), "stubDomains:2: invalid character '}' in JSON"),
    (dict(upstreamNameservers='["1.1.1.1"'), "upstreamNameservers: unexpected end of JSON input"),
])
def test_bad_keys(tmp_path, keys, want):
    mount(tmp_path / "kube-dns", 1, **keys)
    p = check(tmp_path / "kube-dns")
    assert p.returncode == 1 and f"{tmp_path}/kube-dns/{want}" in p.stdout + p.stderr


def test_other_folders(tmp_path):
    assert f"read {tmp_path}: is a directory" in check(tmp_path).stderr
    mount(tmp_path, 1, stubDomains="{}", Corefile=".")
    assert f"read {tmp_path}: is a directory" in check(tmp_path).stderr


def test_serves(tmp_path):
    """Inside: kubedns_inside.py, in a network of its own, for the ports of kube-dns are fixed."""
    unshare = ["unshare", "-r", "-n"] if os.geteuid() else ["unshare", "-n"]
    if not shutil.which("unshare") or subprocess.run([*unshare, "true"], capture_output=True).returncode:
        pytest.skip("no network namespaces here")
    p = subprocess.run([*unshare, sys.executable, str(HERE / "kubedns_inside.py"), str(tmp_path)], capture_output=True, text=True, timeout=120)
    assert p.returncode == 0, p.stdout + p.stderr
    seen = json.loads(p.stdout)
    assert seen["probes"] == {"/healthcheck/kubedns": [200, "ok"], "/healthcheck/dnsmasq": [200, "ok"], "/healthcheck/x": [404, "404 page not found\n"]}
    assert seen["health"] == 200 and seen["ready"] == 200
    assert seen["service"] == ["10.0.0.1"] and seen["pod"] == ["10.1.2.3"] and seen["outside"] == ["192.0.2.1"]
    assert seen["stub"] == ["192.0.2.2"] and seen["stub after the swap"] == ["192.0.2.3"]
    assert seen["stub after a bad key"] == ["192.0.2.3"]
    assert seen["complaint"], seen["log"]
    assert "federation \"prod\" of example.com is left out" in seen["log"]

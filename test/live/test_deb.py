"""make deb: what lies in the package, that it works from there, and what lintian says."""
import gzip, hashlib, re, shutil, stat, subprocess
import pytest
from server import BINARY, ROOT


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    out = tmp_path_factory.mktemp("deb")
    if "asan" in BINARY or "tsan" in BINARY:
        pytest.skip("a build with sanitizers is not packed")
    subprocess.run([ROOT / "tools/deb", "--binary", BINARY, "--out", out], check=True)
    found = {}
    for name in ("fairlead", "fairctl"):
        package, = out.glob(name + "_*.deb")
        subprocess.run(["dpkg-deb", "-R", package, out / name], check=True)
        found[name] = package, out / name
    return found


@pytest.fixture(scope="module")
def deb(both):
    return both["fairlead"]


def test_control(deb):
    text = (deb[1] / "DEBIAN/control").read_text()
    field = dict(re.findall(r"^(\S+): (.*)$", text, re.M))
    version = subprocess.run([BINARY, "-version"], capture_output=True, text=True).stdout.split("\n")[0].removeprefix("fairlead-")
    assert field["Package"] == "fairlead" and field["Version"].startswith(version + "-")
    assert {"libc6", "libgnutls30"} <= {d.split()[0] for d in field["Depends"].split(", ")} and "gpl" not in field["Depends"].lower()
    assert (deb[1] / "DEBIAN/conffiles").read_text() == "/etc/fairlead/Corefile\n"


def test_files(deb):
    tree = deb[1]
    files = [p for p in tree.rglob("*") if p.is_file() and "DEBIAN" not in p.parts]
    for line in (tree / "DEBIAN/md5sums").read_text().splitlines():
        digest, name = line.split("  ")
        assert hashlib.md5((tree / name).read_bytes()).hexdigest() == digest
    assert {p for p in files if p.stat().st_mode & stat.S_IXUSR} == {tree / "usr/sbin/fairlead"}
    assert (tree / "lib/systemd/system/fairlead.service").read_bytes() == (ROOT / "deploy/systemd/fairlead.service").read_bytes()
    pages = {p.name.removesuffix(".gz") for p in files if "/man/" in str(p)}
    assert "fairlead.8" in pages and {f"fairlead-{p.name.removesuffix('.md')}" for p in ROOT.glob("man/plugin/*.md")} <= pages
    assert gzip.decompress((tree / "usr/share/man/man8/fairlead.8.gz").read_bytes()).count(b"-check") >= 2


def test_it_works(deb):
    tree = deb[1]
    p = subprocess.run([tree / "usr/sbin/fairlead", "-check", "-conf", tree / "etc/fairlead/Corefile"], capture_output=True, text=True)
    assert p.returncode == 0 and "1 server block, 0 warnings" in p.stdout, p.stderr
    for script in ("postinst", "prerm", "postrm"):
        subprocess.run(["sh", "-n", tree / "DEBIAN" / script], check=True)


@pytest.mark.parametrize("name", ["fairlead", "fairctl"])
def test_lintian(both, name):
    if not shutil.which("lintian"):
        pytest.skip("no lintian")
    p = subprocess.run(["lintian", "--allow-root", "--fail-on", "error,warning", str(both[name][0])], capture_output=True, text=True)
    assert p.returncode == 0, p.stdout


def test_fairctl(both):
    tree = both["fairctl"][1]
    field = dict(re.findall(r"^(\S+): (.*)$", (tree / "DEBIAN/control").read_text(), re.M))
    assert field["Package"] == "fairctl" and field["Source"] == "fairlead" and "libgnutls30" in field["Depends"]
    assert not (tree / "DEBIAN/conffiles").exists() and not (tree / "DEBIAN/postinst").exists()
    said = subprocess.run([tree / "usr/bin/fairctl", "help"], capture_output=True, text=True).stdout
    for name in re.findall(r"^  (\S+)  ", said, re.M):
        assert (tree / f"usr/share/man/man1/fairctl-{name}.1.gz").exists()
    assert (tree / "usr/share/man/man1/fairctl.1.gz").exists()
    bash, zsh = tree / "usr/share/bash-completion/completions/fairctl", tree / "usr/share/zsh/vendor-completions/_fairctl"
    assert "complete -o filenames -F _fairctl fairctl" in bash.read_text() and zsh.read_text().startswith("#compdef fairctl\n")


def test_the_manual_names_every_flag():
    said = subprocess.run([BINARY, "-h"], capture_output=True, text=True).stderr
    page = (ROOT / "man/cmd/fairlead.8.md").read_text()
    flags = re.findall(r"^  -(\S+)", said, re.M)
    assert len(flags) > 5 and not [f for f in flags if f"`-{f}`" not in page]

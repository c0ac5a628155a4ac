"""The unit of systemd, and what the server tells its manager."""
import re, shutil, socket, subprocess
import pytest
from server import BINARY, ROOT, Server

UNIT = ROOT / "deploy/systemd/fairlead.service"


def test_the_manager_is_told(tmp_path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(60)

        def hears():
            return dict(line.split("=", 1) for line in manager.recv(4096).decode().splitlines())
        with Server(".:{port} {\n  whoami\n}\n", env={"NOTIFY_SOCKET": str(tmp_path / "notify")}) as s:
            assert hears() == {"READY": "1", "STATUS": "Serving"}
            s.signal("SIGUSR1")
            at = hears()
            assert at["RELOADING"] == "1" and int(at["MONOTONIC_USEC"]) > 0
            assert hears()["READY"] == "1"
            s.write(".:{port} {\n  nonsense\n}\n")
            s.signal("SIGUSR1")
            refused = hears()
            assert refused["READY"] == "1" and "Unknown directive 'nonsense'" in refused["STATUS"]
            s.signal("SIGTERM")
            assert hears() == {"STOPPING": "1"}
            assert s.exit_code() == 0


def test_a_start_that_fails_says_nothing(tmp_path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        with Server(".:{port} {\n  nonsense\n}\n", env={"NOTIFY_SOCKET": str(tmp_path / "notify")}, wait=False) as s:
            assert s.exit_code() == 1
        manager.settimeout(0.1)
        with pytest.raises(socket.timeout):
            manager.recv(100)


def analyze(*args):
    if not shutil.which("systemd-analyze"):
        pytest.skip("no systemd-analyze")
    return subprocess.run(["systemd-analyze", *args], capture_output=True, text=True, timeout=60)


def test_the_unit_is_right(tmp_path):
    unit = tmp_path / "fairlead.service"
    unit.write_text(UNIT.read_text().replace("/usr/sbin/fairlead", BINARY).replace("Documentation=man:fairlead(8)\n", ""))
    p = analyze("verify", "--man=no", str(unit))
    said = [line for line in (p.stdout + p.stderr).splitlines() if "fairlead.service" in line]
    assert p.returncode == 0 and not said, said


def test_the_unit_is_closed():
    p = analyze("security", "--offline=true", "--no-pager", str(UNIT))
    level = re.search(r"exposure level for fairlead\.service: ([0-9.]+)", p.stdout)
    assert level and float(level[1]) < 2, p.stdout[-3000:]

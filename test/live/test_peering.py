"""examples/peering: two clusters in network namespaces, asked across, cut and joined again."""
import os, pathlib, shutil, subprocess
import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]


def test_both_ways_and_a_cut():
    if not shutil.which("dig") or not shutil.which("ip"):
        pytest.skip("not installed here: dig, ip")
    p = subprocess.run([ROOT / "examples/peering/run"], capture_output=True, text=True, timeout=300, stdin=subprocess.DEVNULL,
                       env={**os.environ, "SERVER": str(ROOT / "build/fairlead")})
    if p.returncode == 77:
        pytest.skip(p.stdout.strip())
    assert p.returncode == 0, p.stdout + p.stderr
    assert "all of it worked" in p.stdout
    assert p.stdout.count("east asks west: behind a load balancer") == 3

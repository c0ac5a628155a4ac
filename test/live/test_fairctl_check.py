"""fairctl check, diff and bench."""
import json
import pytest
from server import Server, free_port
from test_fairctl_frame import run

GOOD = """.:53 {
    errors
    health
    ready
    kubernetes cluster.local in-addr.arpa ip6.arpa {
        pods insecure
        fallthrough in-addr.arpa ip6.arpa
    }
    forward . 192.0.2.1
    cache 30
    loop
}
"""


@pytest.fixture
def file(tmp_path):
    def write(text, name="Corefile"):
        (tmp_path / name).write_text(text)
        return tmp_path / name
    return write


def check(path):
    p = run("check", path, "--output", "json")
    assert p.returncode == 0, p.stderr
    return [(s["line"], s["rule"]) for s in json.loads(p.stdout)["suggestions"]]


def test_a_good_file(file):
    path = file(GOOD)
    p = run("check", path)
    assert (p.returncode, p.stdout, p.stderr) == (0, f"{path}: ok, 1 server block, 0 warnings, 0 suggestions\n", "")


@pytest.mark.parametrize("old,new,want", [
    ("    errors\n", "", [(1, "errors")]), ("    health\n", "", [(1, "health")]), ("    ready\n", "", [(1, "ready")]), ("    cache 30\n", "", [(9, "cache")]),
    (" in-addr.arpa ip6.arpa {", " {", [(5, "reverse-leak")]), ("        fallthrough in-addr.arpa ip6.arpa\n", "", [(5, "reverse-fallthrough")]),
    ("    loop\n", "    forward . 192.0.2.2\n", [(11, "two-forwards")]), ("    loop\n", "    forward corp.example 192.0.2.2\n", [(11, "two-forwards"), (11, "stub-zone")]),
    ("}\n", "}\ndb.svc.cluster.local:53 {\n errors\n whoami\n}\n", [(13, "shadows-kubernetes")]),
])
def test_suggestions(file, old, new, want):
    text = GOOD[:-2] + GOOD[-2:].replace(old, new) if old == "}\n" else GOOD.replace(old, new, 1)
    assert check(file(text)) == want


def test_a_loop_that_nobody_looks_for(file, tmp_path):
    (tmp_path / "resolv.conf").write_text("nameserver 192.0.2.1\n")
    text = GOOD.replace("192.0.2.1", str(tmp_path / "resolv.conf"))
    assert check(file(text)) == [] and check(file(text.replace("    loop\n", ""))) == [(9, "loop")]


@pytest.mark.parametrize("text,said,near", [
    (GOOD.replace("errors", "erors"), ":2 - Error during parsing: Unknown directive 'erors'", "errors"),
    (GOOD.replace("pods insecure", "pod insecure"), ":6 - Error during parsing: unknown property 'pod'", "pods"),
    (GOOD.replace("cache 30", "cache thirty {"), "", None), (".:53 {\n", "", None),
])
def test_what_is_wrong(file, text, said, near):
    path = file(text)
    p = run("check", path)
    assert p.returncode == 1 and said in p.stderr and not p.stdout
    assert (f"Did you mean {near}?" in p.stderr) == (near is not None)
    data = json.loads(run("check", path, "--output", "json").stdout)
    assert data["ok"] is False and data.get("nearest") == near


def test_files_that_are_not_there(tmp_path):
    for args in (["check", tmp_path / "none"], ["diff", tmp_path / "none", tmp_path / "none"]):
        p = run(*args)
        assert p.returncode == 1 and f"open {tmp_path}/none: no such file or directory" in p.stderr
    assert "is a directory" in run("check", tmp_path).stderr


# ---- diff ----

def diff(file, old, new):
    p = run("diff", file(old, "old"), file(new, "new"), "--output", "json")
    assert p.returncode == 0, p.stderr
    return [(c["change"], c["names"], c["words"]) for c in json.loads(p.stdout)["changes"]]


def test_no_difference(file):
    assert diff(file, GOOD, GOOD.replace("    errors\n", "") .replace("    loop\n", "    loop\n    errors\n")) == []
    p = run("diff", file(GOOD, "a"), file("# a comment\n" + GOOD, "b"))
    assert p.stdout == "no difference\n"


@pytest.mark.parametrize("old,new,change,word", [
    ("cache 30", "cache 60", "plugin changed", "cache 30 → cache 60: how long answers are kept"),
    ("    loop\n", "", "plugin removed", "loop: "), ("    loop\n", "    loop\n    log\n", "plugin added", "log: the log"),
    ("pods insecure", "pods verified", "option changed", "kubernetes: pods insecure → pods verified"),
    ("        pods insecure\n", "", "option removed", "pods insecure"), ("        pods insecure\n", "        pods insecure\n        ttl 9\n", "option added", "ttl 9"),
])
def test_changes(file, old, new, change, word):
    changes = diff(file, GOOD, GOOD.replace(old, new))
    assert len(changes) == 1 and changes[0][:2] == (change, ".") and word in changes[0][2]


def test_zones(file):
    stub = "corp.example:53 {\n forward . 192.0.2.9\n}\n"
    (added,) = diff(file, GOOD, GOOD + stub)
    assert added[:2] == ("zone added", "corp.example.") and "were answered by the block ." in added[2]
    (gone,) = diff(file, GOOD + stub, GOOD)
    assert gone[:2] == ("zone removed", "corp.example.") and "now answered by the block ." in gone[2]
    changes = diff(file, "a.test:53 {\n whoami\n}\n", "b.test:53 {\n whoami\n}\n")
    assert [c[0] for c in changes] == ["zone removed", "zone added"] and "refused" in changes[0][2]


# ---- bench ----

def test_bench_of_two(tmp_path):
    (tmp_path / "names").write_text("# two names\na.test A\nb.test\tAAAA\n\n")
    with Server(".:{port} {\n bind 127.0.0.1\n whoami\n}\n") as one, Server("a.test:{port} {\n bind 127.0.0.1\n whoami\n}\n") as two:
        p = run("bench", f"127.0.0.1:{one.port}", f"127.0.0.1:{two.port}", "-n", "200", "-q", "2000", "--names", tmp_path / "names", "--output", "json")
        text = run("bench", f"127.0.0.1:{one.port}", "-n", "20").stdout
    assert p.returncode == 0, p.stderr
    data = json.loads(p.stdout)
    a, b = data["servers"]
    assert (a["sent"], b["sent"]) == (200, 200) and a["answered"] + a["lost"] == 200
    assert set(a["rcodes"]) == {"NOERROR"} and set(b["rcodes"]) == {"NOERROR", "REFUSED"}
    assert 0 < a["latency_ms"]["p50"] <= a["latency_ms"]["p99"] <= a["latency_ms"]["max"] and data["ratio"]["p50"] > 0
    assert "20 sent, 20 answered, 0 lost" in text and "NOERROR 20" in text


def test_bench_of_nobody(tmp_path):
    p = run("bench", f"127.0.0.1:{free_port()}", "-n", "10", "--timeout", "500ms")
    assert p.returncode == 1 and "connection refused" in p.stderr
    assert run("bench", "127.0.0.1", "-n", "0").returncode == 2 and run("bench", "127.0.0.1", "-q", "1000000").returncode == 2
    (tmp_path / "names").write_text("ok.test A\nbad..name A\n")
    p = run("bench", "127.0.0.1", "--names", tmp_path / "names")
    assert p.returncode == 1 and "names:2:" in p.stderr
    (tmp_path / "names").write_text("ok.test BOGUS\n")
    assert "names:1: \"BOGUS\" is no type" in run("bench", "127.0.0.1", "--names", tmp_path / "names").stderr

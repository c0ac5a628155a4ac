"""fairctl query's search beside real resolvers: getaddrinfo() of glibc and of musl (if musl-gcc is there) ask a server for the same names, in
the same order, with the same end, whatever it answers."""
import json, os, pathlib, random, shutil, subprocess, sys
import pytest
from test_fairctl_frame import FAIRCTL

HERE = pathlib.Path(__file__).resolve().parent
PROGRAM = """#include <netdb.h>
#include <string.h>
int main(int argc, char **argv)
{
	struct addrinfo hints, *all;
	memset(&hints, 0, sizeof hints);
	hints.ai_socktype = SOCK_STREAM;
	return argc < 2 || getaddrinfo(argv[1], NULL, &hints, &all) != 0;
}
"""
OPTIONS = "attempts:1 timeout:"
CONFS = ["search ns1.svc.c.l svc.c.l c.l\noptions ndots:5 ", "search a.example. b.example\noptions ", "search one . two\noptions ndots:2 ",
         "domain d.example\noptions ndots:0 "]
NAMES = ["web", "www.example.org", "a.b.c.d.e.f", "web.", "x.y"]


@pytest.mark.parametrize("libc,compiler", [("glibc", "gcc"), ("musl", "musl-gcc")])
def test_the_same_names(tmp_path, libc, compiler):
    if os.geteuid() or not shutil.which("unshare") or subprocess.run(["unshare", "-m", "-n", "mount", "-t", "tmpfs", "none", "/mnt"],
                                                                    capture_output=True).returncode:
        pytest.skip("needs root, with namespaces")
    if not shutil.which(compiler):
        pytest.skip(f"no {compiler}")
    (tmp_path / "look.c").write_text(PROGRAM)
    subprocess.run([compiler, "-o", tmp_path / "look", tmp_path / "look.c"] + (["-static"] if libc == "musl" else []), check=True)
    def case(conf, name, answers):
        slow = libc == "musl" and set(answers) & set("SR") or "T" in answers       # it waits for a better answer
        return {"conf": f"nameserver 127.0.0.1\n{conf}{OPTIONS}{1 if slow else 10}\n", "answers": answers, "programs": {
            "real": [str(tmp_path / "look"), name], "ours": [FAIRCTL, "query", "--libc", libc, name]}}
    kinds = ["F", "X", "XF", "N", "XNF"] + (["S", "XSX", "R"] if libc == "glibc" else [])
    dice = random.Random(7)
    cases = [case(conf, name, answers) for conf in CONFS for name in NAMES
             if libc == "glibc" or " . " not in conf            # musl sends a malformed query for it
             for answers in kinds + ["".join(dice.choice("XNSF" if libc == "glibc" else "XNF") for _ in range(4))]]
    cases += [case(CONFS[0], "web", "TX"), case(CONFS[0], "web", "XS"), case(CONFS[1], "web", "R")]
    for _ in range(3):          # what differs on a machine that stood still for a second is asked again
        p = subprocess.run(["unshare", "-m", "-n", sys.executable, str(HERE / "resolver_inside.py"), str(tmp_path), json.dumps(cases)],
                           capture_output=True, text=True, timeout=500)
        assert p.returncode == 0, p.stderr
        wrong = [(c, got) for c, got in zip(cases, json.loads(p.stdout)) if got["real"] != got["ours"]]
        cases = [c for c, _ in wrong]
        if not wrong:
            return
    raise AssertionError("\n".join(repr((c["conf"], c["answers"], c["programs"]["real"][1:], got)) for c, got in wrong))

"""fairctl's frame: usage, status, JSON, completion, links; for every command of its table."""
import os, pathlib, re, shutil, subprocess
import pytest
from server import BINARY, ROOT

FAIRCTL = str(pathlib.Path(BINARY).parent / "fairctl")


RAW = ("agnhost", "nslookup")            # they read their flags themselves


def run(*args, program=FAIRCTL, timeout=60, **kw):
    return subprocess.run([str(program), *map(str, args)], capture_output=True, text=True, timeout=timeout, stdin=subprocess.DEVNULL, **kw)


def commands():
    return re.findall(r"^  (\S+)  ", run("help").stdout, re.M)


def test_usage_and_status():
    p = run()
    assert p.returncode == 2 and p.stderr.startswith("usage: fairctl") and not p.stdout
    p = run("bogus")
    assert p.returncode == 2 and p.stderr.startswith('fairctl: unknown command "bogus"\nusage: ')
    assert run("help", "bogus").returncode == 2
    assert run("--version").stdout.startswith("fairctl-")
    for name in commands():
        p = run("help", name)
        assert p.returncode == 0 and p.stdout.startswith(f"usage: fairctl {name}") and not p.stderr
        if name != "agnhost":
            assert run(name, "--help").stdout == p.stdout
        if name in RAW:
            continue
        p = run(name, "--bogus")
        assert (p.returncode, p.stdout) == (2, "") and f"unknown flag: --bogus\nusage: fairctl {name}" in p.stderr, name


def test_values_are_checked():
    assert "takes text|json" in run("etc-hosts", "--output", "yaml").stderr
    assert "flag needs an argument: --file" in run("etc-hosts", "--file").stderr
    assert run("dns-suffix", "extra").returncode == 2


def test_output_that_fails_is_said():
    with open("/dev/full", "w") as full:
        p = subprocess.run([FAIRCTL, "etc-hosts"], stdout=full, stderr=subprocess.PIPE, text=True)
    assert p.returncode == 1 and "No space left on device" in p.stderr


def test_a_file_that_never_ends_is_given_up(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    fd = os.open(tmp_path / "fifo", os.O_RDWR)
    p = run("etc-hosts", "--file", tmp_path / "fifo", timeout=120, env={**os.environ, "FAIRCTL_LIMIT": "1"})
    os.close(fd)
    assert p.returncode == 1 and p.stderr == "fairctl etc-hosts: gave up: it took too long\n"


@pytest.mark.parametrize("shell,file", [("bash", "fairctl.bash"), ("zsh", "_fairctl")])
def test_completion_scripts(shell, file):
    assert run("completion", shell).stdout == (ROOT / "completion" / file).read_text()
    if shutil.which(shell):
        assert subprocess.run([shell, "-n", ROOT / "completion" / file]).returncode == 0
    assert run("completion", "fish").returncode == 2


def words(*w):
    return [line.split("\t")[0] for line in run("completion", "words", "--", *w).stdout.splitlines()]


def test_completion_knows_the_table():
    assert set(words("")) == {*commands(), "help"}
    assert words("dns-su") == ["dns-suffix"] and words("help", "etc") == ["etc-hosts"]
    for name in commands():
        flags = set(re.findall(r"^  (--\S+)", run("help", name).stdout, re.M))
        assert name in RAW or set(words(name, "--")) == flags, name
    assert words("etc-hosts", "--file", "") == ["@file"] and words("etc-hosts", "--output", "j") == ["json"]


def test_bash_completes():
    script = f'source {ROOT}/completion/fairctl.bash; COMP_WORDS=({FAIRCTL} dns-s); COMP_CWORD=1; _fairctl; echo "${{COMPREPLY[*]}}"'
    assert subprocess.run(["bash", "-c", script], capture_output=True, text=True).stdout == "dns-server-list dns-suffix\n"


def test_links():
    for name in ("agnhost", "nslookup", "sleep"):
        assert os.readlink(pathlib.Path(FAIRCTL).parent / name) == "fairctl"

"""The process: flags, output, signals, exit codes, reload (CoreDNS coremain and caddy's signal handling)."""
import os, re, subprocess, time
import dns.flags, dns.message, dns.rcode
import pytest
from server import BINARY, Server, free_port, sanitized
from upstream import wait_for

WHOAMI = ".:{port} {\n  whoami\n}\n"


def run(*args, cwd=None, stdin=subprocess.DEVNULL, **kw):
    return subprocess.run([BINARY, *args], cwd=cwd, stdin=stdin, capture_output=True, text=True, timeout=60, **kw)


def ask(s, name="x.test.", rdtype="A"):
    reply = s.udp(dns.message.make_query(name, rdtype).to_wire())
    return dns.message.from_wire(reply) if reply else None


def test_version():
    p = run("-version")
    assert p.returncode == 0 and re.fullmatch(r"fairlead-\S+\nlinux/\S+, CoreDNS-1\.15\.0\n", p.stdout)


def test_plugins():
    names = run("--plugins").stdout
    assert names.endswith("\n\n") and {"whoami", "reload"} <= set(names.split()) and names.split() == sorted(names.split())


def test_help_goes_to_stderr_and_exits_0():
    p = run("-h")
    assert p.returncode == 0 and "-dns.port string" in p.stderr and not p.stdout


@pytest.mark.parametrize("args,code,says", [
    (["-badflag"], 2, "flag provided but not defined: -badflag"),
    (["-conf"], 2, "flag needs an argument: -conf"),
    (["foo", "bar"], 1, "extra command line arguments: [foo bar]"),
    (["-log-format", "xml"], 1, 'unknown log format "xml": expected text or json'),
    (["-conf", "/nonexistent/Corefile"], 1, "open /nonexistent/Corefile: no such file or directory"),
])
def test_bad_command_lines(args, code, says):
    p = run(*args)
    assert p.returncode == code and says in p.stderr


@pytest.mark.parametrize("corefile,says", [
    (".:{p} {\n  foo\n}\n", "Corefile:2 - Error during parsing: Unknown directive 'foo'"),
    (".:{p} {\n  whoami\n", "Corefile:2 - Syntax error: Unexpected token 'whoami', expecting '}'"),
    (".:{p} {\n  etcd\n}\n", "Corefile:2 - Error during parsing: directive 'etcd' is known, but this version"),
    (".:{p} {\n  reload 1s\n  whoami\n}\n", "plugin/reload: interval value must be greater or equal to 2s"),
    (".:{p} {\n  reload 5\n  whoami\n}\n", 'plugin/reload: time: missing unit in duration "5"'),
    ("a.test:{p} b.test:{p} a.test:{p} {\n whoami\n}\n", "cannot serve dns://a.test.:{p} - it is already defined"),
])
def test_bad_corefiles(tmp_path, corefile, says):
    port = str(free_port())
    (tmp_path / "Corefile").write_text(corefile.replace("{p}", port))
    for args in ([], ["-check"]):
        p = run(*args, cwd=tmp_path)
        assert p.returncode == 1 and says.replace("{p}", port) in p.stderr


def test_check_warns_of_accidents(tmp_path):
    (tmp_path / "Corefile").write_text("foo://a.org:1053 {\n  whoami\n}\n}\n{\n  whoami\n}\n")
    p = run("-check", cwd=tmp_path)
    assert "warning:" in p.stderr and "foo://" in p.stderr


def test_start_and_sigterm(tmp_path):
    pid = tmp_path / "pid"
    with Server(WHOAMI, args=["-pidfile", str(pid)]) as s:
        assert f".:{s.port}\n" in s.log()
        assert int(pid.read_text()) == s.process.pid
        assert ask(s).rcode() == dns.rcode.NOERROR
        s.signal("SIGTERM")
        assert s.exit_code() == 0 and not pid.exists()
        assert "[INFO] SIGTERM: Shutting down servers then terminating\n" in s.log()


def test_default_corefile(tmp_path):
    port = free_port()
    p = subprocess.Popen([BINARY, "-p", str(port)], cwd=tmp_path, stdout=subprocess.PIPE, text=True)
    try:
        assert p.stdout.readline() == f".:{port}\n"
    finally:
        p.terminate()
        assert p.wait(60) == 0


def test_stdin_corefile():
    port = free_port()
    p = subprocess.Popen([BINARY, "-conf", "stdin", f"-dns.port={port}"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    p.stdin.write("piped.test {\n whoami\n}\n")
    p.stdin.close()
    try:
        assert p.stdout.readline() == f"piped.test.:{port}\n"
        p.send_signal(__import__("signal").SIGUSR1)
        assert "fairlead-" in p.stdout.readline() and p.stdout.readline() and "SIGUSR1" in p.stdout.readline()
        assert "Reloading" in p.stdout.readline() and "Reloading complete" in p.stdout.readline()
    finally:
        p.terminate()
        assert p.wait(60) == 0


def test_quiet():
    with Server(WHOAMI, args=["-quiet"], wait=False) as s:
        wait_for(lambda: ask(s))
        assert s.log() == ""


@pytest.mark.parametrize("name,code,says", [("SIGINT", 0, "SIGINT: Shutting down"), ("SIGQUIT", 0, "SIGQUIT: Quitting process immediately")])
def test_ends(name, code, says):
    with Server(WHOAMI) as s:
        s.signal(name)
        assert s.exit_code() == code and says in s.log()


def test_hup_and_usr2_change_nothing():
    with Server(WHOAMI) as s:
        s.signal("SIGHUP")
        s.signal("SIGUSR2")
        s.wait_log("SIGUSR2")
        assert ask(s).rcode() == dns.rcode.NOERROR


def test_usr1_reloads_and_a_bad_file_loses_nothing():
    with Server("a.test:{port} {\n  whoami\n}\n") as s:
        assert ask(s, "b.test.").rcode() == dns.rcode.REFUSED
        s.write("b.test:{port} {\n  whoami\n}\n")
        s.signal("SIGUSR1")
        s.wait_log("[INFO] Reloading complete")
        assert ask(s, "b.test.").rcode() == dns.rcode.NOERROR
        s.write("b.test:{port} {\n  nonsense\n}\n")
        s.signal("SIGUSR1")
        s.wait_log("Corefile:2 - Error during parsing: Unknown directive 'nonsense'")
        assert ask(s, "b.test.").rcode() == dns.rcode.NOERROR
        s.write("b.test:{port} {\n  whoami\n  bind 192.0.2.77\n}\n")
        s.signal("SIGUSR1")
        s.wait_log("Restart failed: ")
        assert ask(s, "b.test.").rcode() == dns.rcode.NOERROR


def test_reload_follows_a_configmap(tmp_path):
    """..data is a link that is swapped, for the Corefile and for what it imports."""
    def version(n, zone):
        d = tmp_path / f"..{n}"
        (d).mkdir()
        (d / "Corefile").write_text("main.test:%d {\n  whoami\n  reload 30s\n  import extra.override\n}\n" % s.port)
        (d / "extra.override").write_text(f"log {zone}\n")
        os.symlink(d.name, tmp_path / "..tmp")
        os.replace(tmp_path / "..tmp", tmp_path / "..data")
    s = Server(None)
    version(1, "one.test")
    for f in ("Corefile", "extra.override"):
        os.symlink(f"..data/{f}", tmp_path / f)
    s.path = tmp_path / "Corefile"
    with s:
        s.wait_log("Running configuration SHA512 = ")
        version(2, "two.test")
        s.wait_log("[INFO] Reloading complete", timeout=20)     # less than the interval and its jitter
        s.wait_log("Running configuration SHA512 = ", count=2)


def test_idle_costs_nothing():
    if sanitized():
        pytest.skip("the sanitizer has a thread of its own that wakes")
    with Server(WHOAMI) as s:
        ask(s)

        def switches():
            n = 0
            for t in os.listdir(f"/proc/{s.process.pid}/task"):
                text = open(f"/proc/{s.process.pid}/task/{t}/status").read()
                n += sum(int(x) for x in re.findall(r"ctxt_switches:\s+(\d+)", text))
            return n
        for _ in range(5):                      # a busy machine may be late with what the start and the question left to do
            before = switches()
            time.sleep(3)
            after = switches()
            if after - before <= 6:
                break
        assert after - before <= 6


def test_shards_follow_gomaxprocs():
    for n in ("1", "3"):
        with Server(WHOAMI, env={"GOMAXPROCS": n}) as s:
            names = [open(f"/proc/{s.process.pid}/task/{t}/comm").read() for t in os.listdir(f"/proc/{s.process.pid}/task")]
            assert sum(x.startswith("shard") for x in names) == int(n)

"""What the running process may still do (base/confine.c); every other live test shows that it is enough."""
import os, pathlib
import pytest
from server import BINARY, Server

WHOAMI = ".:{port} {\n  whoami\n}\n"
BIND, ADMIN, READ = 1 << 10, 1 << 12, 1 << 2


def threads(pid):
    """{name: the fields of its status}"""
    out = {}
    for t in pathlib.Path(f"/proc/{pid}/task").iterdir():
        fields = dict(line.split(":\t", 1) for line in (t / "status").read_text().splitlines() if ":\t" in line)
        out[fields["Name"]] = fields
    return out


def test_threads_are_confined():
    if "asan" in BINARY or "tsan" in BINARY:
        pytest.skip("sanitizers need more")
    with Server(WHOAMI, env={"GOMAXPROCS": "2"}) as s:
        s.wait_log("fairlead-")
        all_ = threads(s.process.pid)
        assert len(all_) >= 3
        for name, st in all_.items():
            assert st["NoNewPrivs"] == "1" and st["Seccomp"] == "2", name
            may = 0 if name.startswith("shard") else BIND | READ
            assert int(st["CapPrm"], 16) & ~may == 0 and int(st["CapEff"], 16) & ~may == 0 and int(st["CapInh"], 16) == 0
            if not os.geteuid():
                assert int(st["CapPrm"], 16) == may and int(st["CapBnd"], 16) & ~(BIND | READ | ADMIN) == 0


def test_a_low_port_after_a_reload():
    """Ports below 1024 can still be bound when a new Corefile names one."""
    if os.geteuid():
        pytest.skip("needs root")
    port = 953
    with Server(WHOAMI) as s:
        s.write("low.test:%d {\n  bind 127.0.0.1\n  whoami\n}\n" % port)
        s.signal("SIGUSR1")
        s.wait_log("[INFO] Reloading complete")

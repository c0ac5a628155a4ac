"""What a query costs outside the kernel: the same programs, fed by bench/preload/feed.c. Says more than a ratio on a busy machine."""
import contextlib, json, os, pathlib, struct, time

from rig import Echo, FAIRLEAD, Failed, Server, TOOLS, ask
from rows import row

TYPES = {"A": 1, "AAAA": 28, "SRV": 33, "PTR": 12}


def packets(questions, path):
    """The file of questions as feed.c wants it."""
    with open(questions) as lines, open(path, "wb") as f:
        for i, line in enumerate(lines):
            name, qtype = line.split()
            wire = b"".join(bytes([len(p)]) + p.encode() for p in name.split(".")) + b"\0"
            message = struct.pack(">6H", i & 0xffff, 0x0100, 1, 0, 0, 0) + wire + struct.pack(">HH", TYPES[qtype], 1)
            f.write(struct.pack(">H", len(message)) + message)
    return path


@contextlib.contextmanager
def preloaded(**env):
    env = {"LD_PRELOAD": str(TOOLS / "libbench_feed.so"), **env}
    before = {k: os.environ.get(k) for k in env}
    os.environ.update(env)
    try:
        yield
    finally:
        for k, v in before.items():
            os.environ.pop(k) if v is None else os.environ.update({k: v})


def fed(b, who, make, questions):
    """Nanoseconds of a query: the least of all rounds, and their median."""
    out, go = pathlib.Path(b.tmp.name, "fed"), pathlib.Path(b.tmp.name, "go")
    out.unlink(missing_ok=True)
    go.unlink(missing_ok=True)
    with contextlib.ExitStack() as s:
        with preloaded(FEED=questions, FEED_GO=str(go), FEED_OUT=str(out), FEED_WHO=who):
            p = s.enter_context(make())
        if isinstance(p, Server):
            p.settle()
        go.touch()
        with contextlib.suppress(Failed):
            ask(p.port, "kubernetes.default.svc.cluster.local")         # the one that begins it; nobody answers
        end = time.time() + 120
        while p.popen.poll() is None and time.time() < end:
            time.sleep(0.05)
    if not out.exists() or not out.read_text():
        raise Failed("it was not fed to the end")
    return json.loads(out.read_text())


@row
def user_time(b):
    """The mix, user time alone; no target."""
    if not (TOOLS / "libbench_feed.so").exists():
        raise Failed("libbench_feed.so is not there: make")
    c = b.cluster()
    questions = packets(b.questions(c), b.tmp.name + "/packets")
    best, medians = {}, {}
    for _ in range(b.rounds):
        for name, who, make in (("echo", "bench_echo", Echo), ("fairlead", FAIRLEAD.name, lambda: Server("fairlead", c))):
            got = fed(b, who, make, questions)
            best[name] = min(best.get(name, got["least"]), got["least"])
            medians[name] = min(medians.get(name, got["median"]), got["median"])
    b.add("mix, outside the kernel", "ns/query", best, "", lambda v: v["no target"], ", ".join(f"{n} median {m:.0f}" for n, m in medians.items()))

"""The figures. Each takes a Bench and gives it results; the order is that of the table in doc/performance.md."""
import contextlib, os, re, shutil, signal, subprocess, tempfile, time

from rig import CACHES, Cluster, Cost, Echo, Echoes, Failed, LOAD_CORE, Process, SERVER_CORE, Server, ask, load, mix, pinned

ROWS = {}


def row(fn):
    ROWS[fn.__name__] = fn
    return fn


class Bench:
    """Results, and what the figures share: clusters, question files, which servers take part."""

    def __init__(self, quick, coredns, plots, out):
        self.quick, self.plots, self.out = quick, plots, out
        self.names = ["fairlead"] + (["coredns"] if coredns else [])
        self.rounds, self.seconds = (2, 2) if quick else (3, 5)
        self.tmp = tempfile.TemporaryDirectory(prefix="fl-bench-")
        self.results, self.clusters = [], {}

    def close(self):
        for c in self.clusters.values():
            c.__exit__()
        self.tmp.cleanup()

    def cluster(self, services=10000, per=10):
        """Kept, so that its objects are made once."""
        if (services, per) not in self.clusters:
            self.out(f"making a cluster of {services:,} services, {services * per:,} endpoints")
            self.clusters[services, per] = Cluster(services, per, min(100, max(services // 10, 1)), wide=services > 0)
        return self.clusters[services, per]

    def questions(self, cluster):
        path = f"{self.tmp.name}/mix-{cluster.services}-{cluster.per}"
        return path if os.path.exists(path) else mix(cluster, path)

    def lines(self, *text):
        path = f"{self.tmp.name}/questions"
        with open(path, "w") as f:
            f.write("\n".join(text) + "\n")
        return path

    def add(self, figure, unit, values, target, passed, note=""):
        """values: {"fairlead"|"coredns"|"echo": number, or the reason why there is none}; passed: a function of the values, or
        None: not judged, nor is there a target."""
        good = {k: v for k, v in values.items() if not isinstance(v, str)}
        try:
            verdict = "-" if not passed else "pass" if passed(good) else "MISS"
        except KeyError:
            verdict = "-" if "fairlead" in good else "not measured"
        why = "; ".join(v for v in values.values() if isinstance(v, str))
        self.results.append({"figure": figure, "unit": unit, "target": target, "verdict": verdict, "note": "; ".join(filter(None, (note, why))),
                             **{k: good.get(k) for k in ("fairlead", "echo", "coredns")}})
        self.out(line_of(self.results[-1]))

    def serving(self, stack, cluster, names=None, **how):
        """{name: Server, or why it did not start}, for the length of the stack."""
        found = {}
        for name in names or self.names:
            try:
                found[name] = stack.enter_context(Server(name, cluster, **how))
                found[name].settle()
            except Failed as e:
                found[name] = str(e)
        return found

    def race(self, contestants, path, **options):
        """Each in turn, so many rounds; {name: its least µs}, and {name: the Cost of that}."""
        best = {}
        for _ in range(self.rounds):
            for name, process in contestants.items():
                if isinstance(process, str):
                    continue
                cost = Cost(process, path, self.seconds, **options)
                if name not in best or cost.us < best[name].us:
                    best[name] = cost
        return {**{k: v for k, v in contestants.items() if isinstance(v, str)}, **{k: c.us for k, c in best.items()}}, best


def ratio(v, a, b):
    return f"{v[a] / v[b]:.2f}" if v.get(a) and v.get(b) else ""


def line_of(r):
    def show(name):
        return f"{r[name]:.3g}" if r[name] is not None and r[name] < 100 else "-" if r[name] is None else f"{r[name]:.0f}"
    times = " ".join(filter(None, (f"{ratio(r, 'fairlead', 'echo')} × echo" if r["echo"] and r["fairlead"] else "",
                                   f"1/{r['coredns'] / r['fairlead']:.1f} of CoreDNS" if r["coredns"] and r["fairlead"] else "")))
    return (f"{r['figure'][:54]:54} {r['unit']:14} {show('fairlead'):>8} {show('echo'):>7} {show('coredns'):>8}  {times:31} "
            f"{r['target'] or '–':34} {r['verdict']}" + (f"   ({r['note']})" if r["note"] else ""))


def same_answers(costs):
    """A remark when the two servers did not answer alike."""
    a, b = costs.get("fairlead"), costs.get("coredns")
    if a and b and any(abs(a.codes[k] - b.codes[k]) > 0.02 for k in a.codes):
        return f"ANSWERS DIFFER: {a.codes} against {b.codes}"
    return ""


def how_busy(costs):
    return ", ".join(f"{k} {c.qps / 1000:.0f}k q/s at {c.busy * 100:.0f} %" for k, c in costs.items())


def least(echo=None, coredns=None):
    """Passes when both hold: at most so many times the echo, at most that part of CoreDNS (where CoreDNS was measured)."""
    def test(v):
        return (echo is None or v["fairlead"] <= echo * v["echo"]) and \
            (coredns is None or v["fairlead"] <= v["coredns"] * coredns if "coredns" in v or echo is None else True)
    return test


# ---- CPU per query ----

@row
def mix_saturated(b):
    """The mix at saturation, both forms of the cache."""
    c = b.cluster()
    for form, part in (("plain", 6), ("kubeadm", 12)):
        with contextlib.ExitStack() as s:
            servers = {"echo": s.enter_context(Echo()), **b.serving(s, c, cache=form)}
            us, costs = b.race(servers, b.questions(c))
            b.add(f"mix, saturated, {CACHES[form].split(' {')[0] if form == 'plain' else 'cache as kubeadm writes it'}", "µs/query", us,
                  f"≤ 1.25 × echo, ≤ 1/{part}", least(1.25, 1 / part), how_busy(costs) + same_answers(costs))


@row
def mix_dual_stack(b):
    c = b.cluster()
    with contextlib.ExitStack() as s:
        servers = {"echo": s.enter_context(Echo("")), **b.serving(s, c, wildcard=True)}
        us, costs = b.race(servers, b.questions(c))
        b.add("mix, saturated, dual-stack wildcard socket", "µs/query", us, "≤ 1.25 × echo", least(1.25), how_busy(costs) + same_answers(costs))


@row
def lone(b):
    c = b.cluster()
    with contextlib.ExitStack() as s:
        servers = {"echo": s.enter_context(Echo()), **b.serving(s, c, cache="plain")}
        us, costs = b.race(servers, b.questions(c), r=10000)
        b.add("mix, 10,000 q/s, packets alone", "µs/query", us, "≤ 1.15 × echo", least(1.15), how_busy(costs))


@row
def sizes(b):
    """Two endpoints each, so that only the number differs."""
    found = {}
    with contextlib.ExitStack() as s:
        servers, paths = {}, {}
        for n in (100, 100000):
            c = b.cluster(n, 2)
            servers[n], paths[n] = b.serving(s, c, ["fairlead"])["fairlead"], b.questions(c)
        for _ in range(b.rounds):
            for n, p in servers.items():
                if not isinstance(p, str):
                    us = Cost(p, paths[n], b.seconds).us
                    found[n] = min(found.get(n, us), us)
    why = next((p for p in servers.values() if isinstance(p, str)), None)
    for n in servers:
        b.add(f"mix, saturated, {n:,} services", "µs/query", {"fairlead": found.get(n, why)}, "within 1.3 × of each other",
              lambda v: max(found.values()) <= 1.3 * min(found.values()))


@row
def headless(b):
    """100 records a reply (EDNS 4096)."""
    c = b.cluster()
    path = b.lines("wide.ns-000.svc.cluster.local A")
    for form, what, part in (("kubeadm", "not cached", 20), ("plain", "cached", 8)):
        with contextlib.ExitStack() as s:
            servers = b.serving(s, c, cache=form)
            sizes_ = [len(ask(p.port, "wide.ns-000.svc.cluster.local", 1, 4096)) for p in servers.values() if not isinstance(p, str)]
            echo = s.enter_context(Echo(size=sizes_[0] if sizes_ else 1641))
            us, costs = b.race({"echo": echo, **servers}, path, e=4096)
            b.add(f"headless A, 100 endpoints, {what}", "µs/query", us, f"≤ 1.4 × echo, ≤ 1/{part}", least(1.4, 1 / part),
                  f"{sizes_} bytes; " + how_busy(costs))


@row
def two_shards(b):
    """Beside them two echo processes on one port: what the machine takes for three busy threads, whoever they are."""
    c = b.cluster()
    path, us = b.questions(c), {}
    with contextlib.ExitStack() as s:
        one = b.serving(s, c, ["fairlead"])["fairlead"]
        two = b.serving(s, c, ["fairlead"], core=None, shards=2)["fairlead"]
        echoes = {"echo": s.enter_context(Echo()), "two echoes": s.enter_context(Echoes(2))}
        why = next((p for p in (one, two) if isinstance(p, str)), None)
        for _ in range(0 if why else b.rounds):
            for n, p, core in ((1, one, LOAD_CORE), (2, two, None), ("echo", echoes["echo"], LOAD_CORE), ("two echoes", echoes["two echoes"], None)):
                cost = Cost(p, path, b.seconds, core=core, s=16).us
                us[n] = min(us.get(n, cost), cost)
    b.add("mix, two shards on both cores, client beside", "µs/query", {"fairlead": us.get(2, why)}, "≤ 1.15 × one shard",
          lambda v: us[2] <= 1.15 * us[1], why or f"one shard {us[1]:.2f}, {us[2] / us[1]:.2f} ×; two echoes {us['two echoes']:.2f} after "
          f"{us['echo']:.2f}, {us['two echoes'] / us['echo']:.2f} ×")


# ---- memory and start ----

def in_list_mode(c, on):
    c.call("set", watchlist=not on)


def start_figures(b, name, c, lists):
    in_list_mode(c, lists)
    try:
        with Server(name, c) as p:
            p.settle()
            return p.memory(), p.start_cpu, p.start_wall
    except Failed as e:
        return (str(e),) * 3
    finally:
        in_list_mode(c, False)


@row
def memory(b):
    """Peak RSS and the CPU time of the start, over TLS."""
    full, empty = b.cluster(), b.cluster(0, 0)
    base, cpu = {}, {}
    base = {n: start_figures(b, n, empty, False)[0] for n in b.names}
    for lists in (False, True):
        got = {n: [start_figures(b, n, full, lists) for _ in range(b.rounds)] for n in b.names}
        rss = {n: max(r[0] for r in runs) for n, runs in got.items()}
        cpu = {n: min(r[1] for r in runs) for n, runs in got.items()}
        wall = {n: min(r[2] for r in runs) for n, runs in got.items()}
        how = "list" if lists else "WatchList"
        each = ", ".join(f"{n} {(rss[n] - base[n]) * 1e6 / full.endpoints:.0f} bytes an endpoint, {wall[n]:.1f} s to ready" for n in b.names
                         if not isinstance(rss[n], str) and not isinstance(base[n], str))
        b.add(f"peak RSS, 10k services, 100k endpoints, {how}", "MB", rss, "≤ 25 MB", lambda v: v["fairlead"] <= 25, each)
        b.add(f"CPU from start to ready, {how}", "s", cpu, "≤ 1/5", lambda v: v["fairlead"] <= v["coredns"] / 5)
    b.add("peak RSS, empty cluster", "MB", base, "≤ 10 MB", lambda v: v["fairlead"] <= 10)


@row
def relists(b):
    c = b.cluster()
    after, before = {}, {}
    for n in b.names:
        try:
            with Server(n, c) as p:
                p.settle()
                before[n] = p.memory()
                for _ in range(2):
                    c.relist()
                    p.settle()
                after[n] = p.memory()
        except Failed as e:
            after[n] = str(e)
    b.add("peak RSS after two forced relists", "MB", after, "≤ 1.1 × before", lambda v: v["fairlead"] <= 1.1 * before["fairlead"],
          ", ".join(f"{n} {m:.1f} before" for n, m in before.items()))


@row
def reloads(b):
    """With one line of the Corefile changed each time."""
    c = b.cluster()
    n = 5 if b.quick else 20
    after, before = {}, {}
    try:
        with Server("fairlead", c) as p:
            p.settle()
            before = p.memory()
            text = p.corefile.read_text()
            for i in range(n):
                p.corefile.write_text(text + f"# {i}\n")
                p.reload()
            p.settle()
            after = {"fairlead": p.memory()}
    except Failed as e:
        after = {"fairlead": str(e)}
    b.add(f"peak RSS after {n} reloads", "MB", after, "≤ 1.1 × before", lambda v: v["fairlead"] <= 1.1 * before,
          f"{before:.1f} before" if before else "")


def event_cost(b, name, c, rate):
    """µs of one of n events; 0: as fast as they are taken, else so many a second."""
    n = (1000 if b.quick else 5000) if not rate else (500 if b.quick else 2000)
    who = f"svc-{n - 1:05d}.ns-{(n - 1) % c.namespaces:03d}.svc.cluster.local"       # the last one, which is headless
    with Server(name, c) as p:
        p.settle()
        wall, idle = time.time(), p.cpu()
        time.sleep(2)
        idle = (p.cpu() - idle) / (time.time() - wall)
        seen = addresses(ask(p.port, who))
        wall, before = time.time(), p.cpu()
        c.events(n, rate)
        p.settle()
        us = (p.cpu() - before - idle * (time.time() - wall)) / n * 1e6
        if sorted(seen) == sorted(addresses(ask(p.port, who))):
            raise Failed(f"{name} did not see the change")
        return us


@row
def events(b):
    """Slices whose ten addresses all change."""
    c = b.cluster()
    for rate, how, target in ((0, "in a burst", "≤ 10 µs"), (500, "alone, 500 a second", "")):
        us = {}
        for name in b.names:
            try:
                us[name] = min(event_cost(b, name, c, rate) for _ in range(b.rounds))
            except Failed as e:
                us[name] = str(e)
        b.add(f"CPU per EndpointSlice event (10 endpoints), {how}", "µs/event", us, target,
              lambda v: v["fairlead"] <= 10 if not rate else v["no target"])


def addresses(reply):
    """The A records' addresses of a reply without compression to follow: all fixed-size records after the question."""
    n, at = int.from_bytes(reply[6:8], "big"), reply.index(b"\0", 12) + 5
    out = []
    for _ in range(n):
        while reply[at] and reply[at] < 192:
            at += reply[at] + 1
        at += 1 if not reply[at] else 2
        size = int.from_bytes(reply[at + 8:at + 10], "big")
        out.append(reply[at + 10:at + 10 + size])
        at += 10 + size
    return out


# ---- wake-ups ----

def traced(p, path, n):
    """({call: how often}, answered) of n queries, each sent when the one before is answered."""
    with tempfile.NamedTemporaryFile("r") as out:
        tracer = subprocess.Popen(["strace", "-f", "-c", "-qq", "-o", out.name, "-p", str(p.pid)], stderr=subprocess.PIPE)
        time.sleep(1)
        if tracer.poll() is not None:
            raise Failed("strace: " + tracer.stderr.read().decode().strip())
        answered = load(p.port, path, 60, w=1, s=1, n=n)["answered"]
        tracer.send_signal(signal.SIGINT)
        tracer.wait(10)
        calls = {}
        for line in out.read().splitlines():
            m = re.match(r"\s*[\d.]+\s+[\d.]+\s+\d+\s+(\d+)\s+(?:\d+\s+)?(\w+)$", line)
            if m and m[2] != "total":
                calls[m[2]] = int(m[1])
        return calls, answered


@row
def calls(b):
    """System calls of a lone query: strace over 10,000."""
    if not shutil.which("strace"):
        b.add("system calls per lone query", "calls", {"fairlead": "strace is not installed"}, "≤ 3.2, no futex", lambda v: v["none"])
        return
    c = b.cluster()
    per, notes, futex = {}, [], {}
    with contextlib.ExitStack() as s:
        servers = {"echo": s.enter_context(Echo()), **b.serving(s, c)}
        for name, p in servers.items():
            try:
                if isinstance(p, str):
                    raise Failed(p)
                found, answered = traced(p, b.questions(c), 2000 if b.quick else 10000)
                per[name], futex[name] = sum(found.values()) / answered, found.get("futex", 0)
                notes.append(f"{name}: " + ", ".join(f"{k} {v / answered:.2f}" for k, v in sorted(found.items(), key=lambda x: -x[1])[:5]))
            except Failed as e:
                per[name] = str(e)
    b.add("system calls per lone query", "calls", per, "≤ 3.2, no futex", lambda v: v["fairlead"] <= 3.2 and not futex["fairlead"], "; ".join(notes))


@row
def idle(b):
    c = b.cluster()
    seconds = 10 if b.quick else 60
    with contextlib.ExitStack() as s:
        servers = b.serving(s, c)
        running = {n: p for n, p in servers.items() if not isinstance(p, str)}
        time.sleep(5 if b.quick else 35)        # loop and the first health checks are over
        before = {n: p.switches() for n, p in running.items()}
        cpu = {n: p.cpu() for n, p in running.items()}
        time.sleep(seconds)
        rate = {n: (p.switches() - before[n]) / seconds for n, p in running.items()}
        notes = ", ".join(f"{n} {(p.cpu() - cpu[n]) / seconds * 1e6:.0f} µs of CPU a second" for n, p in running.items())
    b.add(f"context switches while idle ({seconds} s)", "a second", {**servers, **rate}, "≤ 2", lambda v: v["fairlead"] <= 2, notes)

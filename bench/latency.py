"""Latency against load: questions come at a fixed rate, whether or not the ones before were answered (open loop), step by step until a
server no longer follows. A latency counts from the moment at which its question was due."""
import contextlib, pathlib

import svg
from rig import Echo, load, machine
from rows import row

RATES = [2000, 5000, 10000, 20000, 30000, 45000, 65000, 90000, 120000, 160000, 200000, 250000, 300000, 400000, 500000]
LOST, SLOWEST_US = 0.01, 100000         # a step that loses more, or whose median is above, is the last


def curve(b, process, path):
    """[(answers a second, p50, p99)] in µs, and at which rate it stopped following (0: never)."""
    points = []
    for rate in RATES:
        got = load(process.port, path, 1 if b.quick else 3, r=rate)
        if not got["answered"] or got["lost"] > LOST * got["sent"] or got["p50_us"] > SLOWEST_US or got["qps"] < 0.9 * rate:
            return points, rate
        points.append((got["qps"], max(got["p50_us"], 1), max(got["p99_us"], 1)))
    return points, 0


def draw(b, name, title, curves):
    """curves: {server: points}. The plot's path."""
    pathlib.Path(b.plots).mkdir(parents=True, exist_ok=True)
    series = []
    for server in sorted(curves, key=["fairlead", "echo", "coredns"].index):
        series += [(f"{server} p99", server, True, [(q, p99) for q, _, p99 in curves[server]]),
                   (f"{server} median", server, False, [(q, p50) for q, p50, _ in curves[server]])]
    path = svg.lines(pathlib.Path(b.plots, name), f"{title} ({machine().split(', Linux')[0]})", "queries a second", "latency, µs", series)
    b.out(f"plot: {path}")


def near(points, rate):
    """p99 at the last step that is not above rate."""
    below = [p for p in points if p[0] <= rate * 1.05] or points[:1]
    return below[-1][2]


@row
def latency(b):
    """The mix; p99 at half of what each takes in (its own saturation, closed loop), and the plot."""
    c = b.cluster()
    with contextlib.ExitStack() as s:
        servers = {"echo": s.enter_context(Echo()), **b.serving(s, c, cache="plain")}
        p99, curves, notes = {}, {}, []
        for name, process in servers.items():
            if isinstance(process, str):
                p99[name] = process
                continue
            full = load(process.port, b.questions(c), 2)["qps"]
            points, stopped = curve(b, process, b.questions(c))
            if not points:
                p99[name] = f"{name} follows no rate at all"
                continue
            curves[name], p99[name] = points, near(points, full / 2)
            notes.append(f"{name} {full / 1000:.0f}k q/s, " + (f"follows no {stopped / 1000:.0f}k" if stopped else "follows every rate"))
        if curves:
            draw(b, "latency-mix.svg", "Mix of a cluster, one shard, `cache 30`", curves)
    b.add("p99 at half of the saturating load, open loop", "µs", p99, "≤ CoreDNS", lambda v: v["fairlead"] <= v["coredns"], "; ".join(notes))

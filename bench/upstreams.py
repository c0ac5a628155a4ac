"""Figures of slow and dead upstreams: many queries in flight, and what clients wait when one of two upstreams swallows its queries."""
import contextlib, ctypes, os, pathlib, resource, signal, subprocess, tempfile, time

from rig import Failed, load
from caching import Upstream, unique
from rows import row

FLIGHT, DELAY_MS = 50000, 2000
CLONE_NEWNET = 0x40000000
SLOW = """.:PORT {
 bind 127.0.0.1
 ready READY
 forward . 127.0.0.1:UP {
  max_fails 0
  read_timeout 4s
 }
}
"""
TWO = """.:PORT {
 bind 127.0.0.1
 ready READY
 forward . 127.0.0.1:ONE 127.0.0.1:OTHER {
  MORE
 }
}
"""


@contextlib.contextmanager
def many_files(n):
    """Programs started here may open n files: CoreDNS has a socket for each query."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (n, max(n, hard)))
    except (OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        yield resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@contextlib.contextmanager
def many_ports():
    """A network namespace with nothing but a loopback that has 60,000 ports to send from (the usual 28,000 are too few for a socket a
    query), where it may be made; says whether it was."""
    libc = ctypes.CDLL(None, use_errno=True)
    with open("/proc/self/ns/net", "rb") as home:
        made = libc.unshare(CLONE_NEWNET) == 0
        try:
            if made:
                subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
                pathlib.Path("/proc/sys/net/ipv4/ip_local_port_range").write_text("4096 65535")
            yield made
        finally:
            if made and libc.setns(home.fileno(), CLONE_NEWNET):
                raise SystemExit("the benchmark cannot leave its network namespace: " + os.strerror(ctypes.get_errno()))


def flight(b, name, n, path):
    """(peak RSS in MB, how many were held at once, how many answered): n queries within the time after which the first is answered."""
    with tempfile.TemporaryFile("w+") as said:
        with contextlib.ExitStack() as s:
            up = s.enter_context(Upstream(DELAY_MS, said))
            p = b.serving(s, None, [name], text=SLOW.replace("UP", str(up.port)))[name]
            if isinstance(p, str):
                raise Failed(p)
            done = load(p.port, path, 30, n=n, r=n * 1000 // DELAY_MS, s=16, p=8)
            rss = p.memory()
        said.seek(0)
        return rss, int(said.read() or 0), done["noerror"]


@row
def in_flight(b):
    """An upstream that answers after 2 s; the queries come evenly within these 2 s. When CoreDNS cannot hold them all (files, ports, CPU), only
    what a query took is compared."""
    n, rss, each, held, answered = FLIGHT, {}, {}, {}, {}
    with many_files(2 * n) as files, many_ports() as ports:
        path = unique(b, n, "slow")
        for name in b.names:
            try:
                rss[name], held[name], answered[name] = flight(b, name, n, path)
                each[name] = rss[name] * 1000 / max(held[name], 1)
            except Failed as e:
                rss[name] = f"{name}: {e}"
    notes = [f"{k} answered {answered[k]} and had {held[k]} at the upstream at once" for k in held]
    notes += ([] if ports else ["no network namespace could be made: 28,000 ports"]) + ([] if files >= 2 * n else [f"{files} files at most"])
    full = all(h >= 0.9 * n and a == n for h, a in zip(held.values(), answered.values()))
    b.add(f"peak RSS, {n:,} queries in flight, upstream after 2 s", "MB", rss, "all answered, ≤ 1/5",
          lambda v: answered["fairlead"] == n and v["fairlead"] <= v["coredns" if full or answered["fairlead"] < n else "all of them"] / 5,
          ", ".join(notes))
    b.add("peak RSS per query in flight", "kB", each, "≤ 1/5", lambda v: v["fairlead"] <= v["coredns"] / 5)


PHASES = {"alive": "both alive", "dies": "upstream dies", "dead": "upstream dead"}


def phases(b, name, path, rate=0, more=""):
    """({phase: p99}, the rate, a remark): at this rate, or at half of what the server takes in."""
    p99, busy, none = {}, [], 0
    with contextlib.ExitStack() as s:
        one, other = s.enter_context(Upstream()), s.enter_context(Upstream())
        text = TWO.replace("ONE", str(one.port)).replace("OTHER", str(other.port)).replace("MORE", more or "max_fails 2")
        p = b.serving(s, None, [name], text=text)[name]
        if isinstance(p, str):
            raise Failed(p)
        rate = rate or max(int(load(p.port, path, 2, w=100)["qps"] / 2), 100)
        for phase in PHASES:
            time.sleep({"dead": 3, "dies": 1}.get(phase, 0))    # until both know what died
            if phase == "dies":         # its socket stays bound, and nobody reads from it
                os.kill(other.pid, signal.SIGSTOP)
                s.callback(os.kill, other.pid, signal.SIGCONT)
            before = p.cpu()
            done = load(p.port, path, 2 if b.quick else 10, r=rate, p=8)
            busy.append(f"{(p.cpu() - before) / done['seconds'] * 100:.0f}")
            none += done["lost"] + done["servfail"]
            if done["lost"] > done["sent"] / 100:
                raise Failed(f"{done['lost']} of {done['sent']} lost, {PHASES[phase]}")
            p99[phase] = max(done["p99_us"], 1)
    return p99, rate, f"{name} {rate / 1000:.1f}k q/s at {'/'.join(busy)} %" + (f", {none} lost or SERVFAIL" if none else "")


@row
def dead_upstream(b):
    """No cache; open loop at half of each one's saturation, and fairlead at CoreDNS's rate too: at its own, the core of client and upstreams
    may be what is full. dies: from its death on, when what was sent to it waits for read_timeout, 2 s, with both (no target; fairlead's hedge
    is there for it); dead: after that."""
    path = unique(b, 10000, "two")
    found, rates, notes = {}, {}, []

    def measure(key, name, rate=0, more=""):
        try:
            found[key], rates[key], note = phases(b, name, path, rate, more)
            notes.append(("" if key == name else key + ": ") + note)
        except Failed as e:
            found[key] = {phase: f"{key}: {e}" for phase in PHASES}

    for name in b.names:
        measure(name, name)
    if "coredns" in rates:
        measure("same", "fairlead", rates["coredns"])
    if not b.quick:
        measure("hedge", "fairlead", rates.get("coredns", 0), "hedge auto")
    for key, how in (("fairlead", "half of its saturation"), ("same", "half of CoreDNS's")):
        for phase, what in PHASES.items():
            if key in found:
                v = {"fairlead": found[key][phase], **({"coredns": found["coredns"][phase]} if "coredns" in found else {})}
                b.add(f"p99 at {how}, {what}", "µs", v, "" if phase == "dies" else "< CoreDNS",
                      lambda v: v["fairlead"] < v["no target" if phase == "dies" else "coredns"],
                      ", ".join(notes if phase == "alive" and key == "fairlead" else
                                [f"with hedge auto {found['hedge'][phase]} µs"] if key == "same" and "hedge" in found else []))

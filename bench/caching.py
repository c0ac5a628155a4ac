"""More figures: a cache before an upstream, beside those that are installed of CoreDNS, unbound, dnsdist and dnsmasq."""
import bisect, contextlib, itertools, random, shutil, tempfile, time

from rig import Cost, Echo, Failed, LOAD_CORE, Process, SERVER_CORE, Server, TOOLS, ask, load
from rows import how_busy, row

NAMES = 10000
# Neither may evict: three times what is asked.
TEXT = """.:PORT {
 bind 127.0.0.1
 ready READY
 cache 3600 {
  success %d
 }
 forward . 127.0.0.1:UP {
  max_fails 0
 }
}
"""


class Upstream(Process):
    def __init__(self, delay_ms=0, log=None):
        from server import free_port
        self.port = free_port()
        super().__init__([TOOLS / "bench_upstream", "127.0.0.1", self.port, delay_ms], LOAD_CORE, log=log)
        time.sleep(0.1)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.end()


def unbound(d, port, up, size):
    conf = f"""server:
 interface: 127.0.0.1@{port}
 num-threads: 1
 do-daemonize: no
 username: ""
 chroot: ""
 directory: "{d}"
 pidfile: ""
 use-syslog: no
 logfile: "{d}/log"
 module-config: "iterator"
 do-not-query-localhost: no
 msg-cache-size: 256m
 rrset-cache-size: 256m
 num-queries-per-thread: 4096
 outgoing-range: 8192
remote-control:
 control-enable: no
forward-zone:
 name: "."
 forward-addr: 127.0.0.1@{up}
"""
    open(f"{d}/conf", "w").write(conf)
    return ["unbound", "-d", "-c", f"{d}/conf"]


def dnsdist(d, port, up, size):
    open(f"{d}/conf", "w").write(f"""setSecurityPollSuffix("")
setLocal("127.0.0.1:{port}")
newServer({{address="127.0.0.1:{up}", healthCheckMode="up"}})
getPool(""):setCache(newPacketCache({size}, {{maxTTL=3600}}))
""")
    return ["dnsdist", "--supervised", "--disable-syslog", "-C", f"{d}/conf"]


def dnsmasq(d, port, up, size):
    return ["dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", f"--port={port}", "--listen-address=127.0.0.1", "--bind-interfaces",
            "--no-resolv", "--no-hosts", f"--server=127.0.0.1#{up}", f"--cache-size={min(size, 10000)}", "--dns-forward-max=4096", "--user=root",
            "--pid-file=", "--log-facility=" + d + "/log"]


class Peer(Process):
    def __init__(self, name, args, up, size):
        from server import free_port
        self.dir, self.port = tempfile.TemporaryDirectory(prefix=f"fl-bench-{name}-"), free_port()
        super().__init__(args(self.dir.name, self.port, up, size), SERVER_CORE, cwd=self.dir.name)
        for _ in range(100):
            try:
                ask(self.port, "ready.bench.example.net")
                return
            except Failed:
                if self.popen.poll() is not None:
                    break
                time.sleep(0.05)
        self.__exit__()
        raise Failed(f"{name} does not answer")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.end()
        self.dir.cleanup()


PEERS = {"unbound": unbound, "dnsdist": dnsdist, "dnsmasq": dnsmasq}


def caches(b, stack, up, size, peers=tuple(PEERS)):
    """{name: process, or why there is none}"""
    found = b.serving(stack, None, text=(TEXT % size).replace("UP", str(up.port)))
    for name in peers:
        try:
            if not shutil.which(name):
                raise Failed(f"{name} is not installed")
            found[name] = stack.enter_context(Peer(name, PEERS[name], up.port, size))
        except Failed as e:
            found[name] = str(e)
    return found


def running(found):
    return {n: p for n, p in found.items() if not isinstance(p, str)}


def unique(b, n, prefix, lengths=1):
    """So many names, of so many lengths."""
    path, rng = f"{b.tmp.name}/unique", random.Random(prefix)
    with open(path, "w") as f:
        f.writelines(f"{'x' * rng.randrange(lengths)}{prefix}-{i:06d}.bench.example.net A\n" for i in range(n))
    return path


def zipf(b, lines=200000):
    path = f"{b.tmp.name}/zipf"
    upto = list(itertools.accumulate(1 / (i + 1) for i in range(NAMES)))
    rng = random.Random(7)
    with open(path, "w") as f:
        for _ in range(lines):
            i = bisect.bisect_left(upto, rng.random() * upto[-1])
            f.write(f"host-{i:06d}.bench.example.net A\n")
    return path


def warm(p, path, n):
    """Every question of the file, not so fast that any is lost."""
    for _ in range(2):
        done = load(p.port, path, 60, w=64, n=n)
    if done["lost"] or done["noerror"] < done["answered"] * 0.999:
        raise Failed(f"warming up: {done['lost']} of {n} lost")


def below(us, part=None, echo=None):
    """Passes: at most so many times the echo, at most that part of CoreDNS, below every other."""
    def test(v):
        f = v["fairlead"]
        return (echo is None or f <= echo * v["echo"]) and (part is None or f <= part * v["coredns"]) and \
            all(f < v[n] for n in ("coredns", *PEERS) if n in v)
    return test


def others(values, form="{:.2f}"):
    return ", ".join(f"{n} {form.format(values[n])}" for n in PEERS if not isinstance(values.get(n, ""), str))


@row
def cache_hits(b):
    """Zipf over 10,000 names, all of them kept."""
    with Upstream() as up, contextlib.ExitStack() as s:
        found = caches(b, s, up, 4 * NAMES)
        for name, p in running(found).items():
            try:
                warm(p, unique(b, NAMES, "host"), NAMES)
            except Failed as e:
                found[name] = f"{name}: {e}"
        us, costs = b.race({"echo": s.enter_context(Echo()), **found}, zipf(b))
        b.add("cache hits, Zipf over 10,000 names", "µs/query", us, "≤ 1.25 × echo, below every peer", below(us, None, 1.25),
              ", ".join(filter(None, (others(us), how_busy(costs)))))


def misses(b, found, lengths, what, target):
    n, us, costs = 50000 if b.quick else 200000, {}, {}
    for turn in range(b.rounds):
        path = unique(b, n, f"miss-{lengths}-{turn}", lengths)
        for name, p in running(found).items():
            cost = Cost(p, path, 60, n=n, w=100)
            if cost.load["lost"] > n / 100 or cost.codes["noerror"] < 0.99:
                us[name] = f"{name} lost {cost.load['lost']} of {n}, {cost.codes}"
            elif name not in costs or cost.us < costs[name].us:
                costs[name], us[name] = cost, cost.us
    us = {**{k: v for k, v in found.items() if isinstance(v, str)}, **us}
    b.add(f"cache misses, {what}", "µs/query", us, target, target and below(us, 0.2),
          ", ".join(filter(None, (others(us), how_busy(costs)))))


@row
def cache_misses(b):
    """Names that nobody asked before, from an upstream on loopback. Questions of one length may leave together: also those of many."""
    with Upstream() as up, contextlib.ExitStack() as s:
        found = caches(b, s, up, NAMES)
        misses(b, found, 1, "unique names", "≤ 1/5 of CoreDNS, below every peer")
        misses(b, {k: v for k, v in found.items() if k != "dnsmasq"}, 25, "the same, of 25 lengths", None)


@row
def cache_memory(b):
    """RSS with so many answers of one address, and what they took."""
    n = 20000 if b.quick else 100000
    rss, took = {}, {}
    with Upstream() as up, contextlib.ExitStack() as s:
        found = caches(b, s, up, n + n // 2, ("unbound",))
        for name, p in running(found).items():
            try:
                p.settle()
                before = p.memory("VmRSS")
                warm(p, unique(b, n, "kept"), n)
                p.settle()
                rss[name] = p.memory("VmRSS")
                took[name] = (rss[name] - before) * 1e6 / n
            except Failed as e:
                found[name] = f"{name}: {e}"
        values = {**{k: v for k, v in found.items() if isinstance(v, str)}, **rss}
        b.add(f"RSS with {n:,} cached answers", "MB", values, "≤ 1/3 of CoreDNS", lambda v: v["fairlead"] <= v["coredns"] / 3,
              ", ".join(filter(None, (others(values, "{:.1f}"), ", ".join(f"{k} {v:.0f} octets an answer" for k, v in took.items())))))

"""Figures of encrypted clients: cache hits on long connections over TLS, HTTPS and QUIC, beside CoreDNS and dnsdist. All show one
certificate, made for the run. Who asks is bench_tls, h2load (HTTPS: dnsperf 2.10 loses there) and bench_quic, ten connections with thirty
questions in flight on each. dnsperf asks over TLS too, but is itself what is slow: a server that waits for it finds less to do at a time."""
import base64, contextlib, re, shutil, subprocess, tempfile, time

from rig import Failed, LOAD_CORE, Process, SERVER_CORE, Server, TOOLS, pinned
from caching import Upstream
from rows import how_busy, row

HOSTS = [f"host-{i:06d}.bench.example.net" for i in range(1000)]        # all of them kept by every cache
CONNECTIONS, IN_FLIGHT = 10, 300        # in flight over all connections, as many as bench_load has
TEXT = """SCHEME://.:PORT {
 bind 127.0.0.1
 tls CERT KEY
 ready READY
 cache 3600 {
  success 10000
 }
 forward . 127.0.0.1:UP {
  max_fails 0
 }
}
"""
# Who comes by TCP is forwarded by TCP, which bench_upstream does not speak: this stands between.
FRONT = """.:PORT {
 bind 127.0.0.1
 ready READY
 forward . 127.0.0.1:UP {
  max_fails 0
  prefer_udp
 }
}
"""


def certificate(folder):
    """(certificate, key), for 127.0.0.1."""
    try:
        import certs
    except ImportError:
        raise Failed("python3-cryptography is not installed") from None
    return certs.Authority(folder).issue("dns.bench.example")


class Asked:
    """What a load by another client than bench_load cost a server."""

    def __init__(self, process, client, seconds):
        before, started = process.cpu(), time.time()
        self.answered = client(process.port, seconds)
        cpu, took = process.cpu() - before, time.time() - started
        if not self.answered:
            raise Failed("nothing was answered")
        self.us, self.qps, self.busy = cpu / self.answered * 1e6, self.answered / took, cpu / took


def run(args, seconds):
    if not shutil.which(args[0]):
        raise Failed(f"{args[0]} is not installed")
    try:
        return subprocess.run([*pinned(LOAD_CORE), *map(str, args)], capture_output=True, text=True, timeout=seconds + 30)
    except subprocess.TimeoutExpired:
        raise Failed(f"{args[0]} did not end") from None


def numbers(text, **patterns):
    """The number that each pattern finds, or 0."""
    found = {k: re.search(p, text) for k, p in patterns.items()}
    return {k: int(m[1]) if m else 0 for k, m in found.items()}


def questions(f):
    f.writelines(f"{n} A\n" for n in HOSTS)
    f.flush()
    return f.name


def dnsperf(port, seconds):
    """How many were answered with NOERROR."""
    with tempfile.NamedTemporaryFile("w") as f:
        questions(f)
        done = run(["dnsperf", "-m", "dot", "-s", "127.0.0.1", "-p", port, "-d", f.name, "-c", CONNECTIONS, "-q", IN_FLIGHT, "-T", 1, "-l", seconds],
                   seconds)
    n = numbers(done.stdout, completed=r"Queries completed: *(\d+)", lost=r"Queries lost: *(\d+)", good=r"NOERROR (\d+)")
    if not n["good"] or n["lost"] > n["completed"] / 100 or n["good"] < n["completed"] * 0.999:
        raise Failed(f"dnsperf: {n['completed']} completed, {n['good']} NOERROR, {n['lost']} lost; " + " ".join(done.stderr.split())[:120])
    return n["good"]


def packed(name):
    return b"\0\0\1\0\0\1" + bytes(6) + b"".join(bytes([len(p)]) + p.encode() for p in name.split(".")) + b"\0\0\1\0\1"


def h2load(port, seconds):
    """How many were answered, with GET: h2load asks for several names only so. What is no address is shorter, and no answer here."""
    with tempfile.NamedTemporaryFile("w") as f:
        f.writelines(f"https://127.0.0.1:{port}/dns-query?dns=" + base64.urlsafe_b64encode(packed(n)).decode().rstrip("=") + "\n" for n in HOSTS)
        f.flush()
        done = run(["h2load", "-c", CONNECTIONS, "-m", IN_FLIGHT // CONNECTIONS, "-t", 1, "-D", seconds, "-i", f.name], seconds)
    n = numbers(done.stdout, good=r"(\d+) succeeded", failed=r"(\d+) failed", octets=r"\((\d+)\) data")
    if not n["good"] or n["failed"] or n["octets"] < n["good"] * (len(packed(HOSTS[0])) + 14):
        raise Failed(f"h2load: {n}; " + " ".join(done.stderr.split())[:120])
    return n["good"]


def answers(program, port, what, seconds, *more, connections=CONNECTIONS, each=IN_FLIGHT // CONNECTIONS):
    done = run([TOOLS / program, "127.0.0.1", port, what, connections, each, seconds, *more], seconds)
    m = re.match(r"(\d+) answers/s, (\d+) failures", done.stdout)
    if not m or int(m[2]):
        raise Failed(f"{program}: " + " ".join((done.stdout + done.stderr).split())[:160])
    return int(m[1]) * seconds


def quic(port, seconds):
    return answers("bench_quic", port, HOSTS[0], seconds)


def tls(together, **how):
    """A client that asks so many questions in one record, 0: all that are due."""
    def client(port, seconds):
        with tempfile.NamedTemporaryFile("w") as f:
            return answers("bench_tls", port, questions(f), seconds, together, **how)
    return client


class Dnsdist(Process):
    """With a packet cache and one thread for these clients."""

    def __init__(self, local, up, cert, key):
        from server import free_port
        if not shutil.which("dnsdist"):
            raise Failed("dnsdist is not installed")
        self.dir, self.port = tempfile.TemporaryDirectory(prefix="fl-bench-dnsdist-"), free_port()
        listen = {"tls": f'addTLSLocal("127.0.0.1:{self.port}", "{cert}", "{key}", {{maxInFlight=1000}})',
                  "https": f'addDOHLocal("127.0.0.1:{self.port}", "{cert}", "{key}", "/dns-query")'}[local]
        with open(f"{self.dir.name}/conf", "w") as f:
            f.write(f"""setSecurityPollSuffix("")
setLocal("127.0.0.1:{free_port()}")
setMaxTCPClientThreads(1)
{listen}
newServer({{address="127.0.0.1:{up}", healthCheckMode="up"}})
getPool(""):setCache(newPacketCache({4 * len(HOSTS)}, {{maxTTL=3600}}))
""")
        self.log = open(f"{self.dir.name}/log", "wb+")
        super().__init__(["dnsdist", "--supervised", "--disable-syslog", "-C", f"{self.dir.name}/conf"], SERVER_CORE, cwd=self.dir.name,
                         log=self.log)
        time.sleep(1)
        if self.popen.poll() is not None:
            said = open(f"{self.dir.name}/log", errors="replace").read().strip().splitlines()
            self.__exit__()
            raise Failed(f"dnsdist ended: {said[-1] if said else ''}")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.end()
        self.log.close()
        self.dir.cleanup()


def turns(b, found, client):
    """Each in turn, so many rounds: {name: its least µs, or why there is none}, {name: the Asked of that}. Before, the cache is filled."""
    best = {}
    for turn in range(b.rounds + 1):
        for name, p in found.items():
            if isinstance(p, str):
                continue
            try:
                if not turn:
                    client(p.port, 1)
                    continue
                cost = Asked(p, client, b.seconds)
                if name not in best or cost.us < best[name].us:
                    best[name] = cost
            except Failed as e:
                found[name] = f"{name}: {e}"
                best.pop(name, None)
    return {**{k: v for k, v in found.items() if isinstance(v, str)}, **{k: c.us for k, c in best.items()}}, best


def servers(b, stack, scheme, peers=()):
    up = stack.enter_context(Upstream())
    up = stack.enter_context(Server("fairlead", core=LOAD_CORE, text=FRONT.replace("UP", str(up.port))))
    folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="fl-bench-certs-"))
    cert, key = certificate(folder)
    text = TEXT.replace("SCHEME", scheme).replace("CERT", cert).replace("KEY", key).replace("UP", str(up.port))
    found = b.serving(stack, None, text=text)
    for name in peers:
        try:
            found[name] = stack.enter_context(Dnsdist(scheme, up.port, cert, key))
        except Failed as e:
            found[name] = str(e)
    return found


def hits(b, found, client, what, target="≤ 1/4 of CoreDNS, below dnsdist"):
    us, costs = turns(b, found, client)
    b.add(f"cache hits over {what}", "µs/query", us, target,
          target and (lambda v: v["fairlead"] <= v["coredns"] / 4 and v["fairlead"] < v.get("dnsdist", v["coredns"])),
          ", ".join(filter(None, (f"dnsdist {us['dnsdist']:.2f}" if "dnsdist" in costs else "", how_busy(costs)))))


@row
def dot_hits(b):
    """A record for each question is judged, as most clients send them."""
    with contextlib.ExitStack() as s:
        found = servers(b, s, "tls", ("dnsdist",))
        hits(b, dict(found), tls(together=1), f"TLS, {CONNECTIONS} connections")
        hits(b, dict(found), tls(together=0), "TLS, several questions in a record", None)
        hits(b, dict(found), tls(together=1, connections=100, each=1), "TLS, 100 connections, one question each", None)
        hits(b, dict(found), dnsperf, "TLS, asked by dnsperf", None)


@row
def doh_hits(b):
    """GET over HTTP/2."""
    with contextlib.ExitStack() as s:
        hits(b, servers(b, s, "https", ("dnsdist",)), h2load, f"HTTPS, {CONNECTIONS} connections")


@row
def doq_hits(b):
    """One name; dnsdist of Debian 12 has no QUIC."""
    with contextlib.ExitStack() as s:
        us, costs = turns(b, servers(b, s, "quic"), quic)
        b.add(f"cache hits over QUIC, {CONNECTIONS} connections", "µs/query", us, "≤ 1/4 of CoreDNS", lambda v: v["fairlead"] <= v["coredns"] / 4,
              how_busy(costs))

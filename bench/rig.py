"""What the benchmarks stand on: programs started and pinned, CPU and memory read from /proc, loads, the fake cluster, questions."""
import json, os, pathlib, random, re, shutil, signal, socket, struct, subprocess, sys, tempfile, time, urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "test/live"))
from server import free_port  # noqa: E402

FAIRLEAD = pathlib.Path(os.environ.get("FAIRLEAD", ROOT / "build/fairlead")).resolve()
TOOLS = pathlib.Path(os.environ.get("BENCH_TOOLS", FAIRLEAD.parent))
SERVER_CORE, LOAD_CORE = 0, 1
TOKEN = "bench"
CACHES = {"plain": "cache 30", "kubeadm": "cache 30 {\n disable success cluster.local\n disable denial cluster.local\n }"}


class Failed(Exception):
    """This figure cannot be measured; the text says why."""


def coredns_binary():
    path = os.environ.get("COREDNS") or shutil.which("coredns")
    return path if path and os.access(path, os.X_OK) else None


def machine():
    cpu = next((line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), "?")
    memory = int(re.search(r"MemTotal:\s+(\d+)", pathlib.Path("/proc/meminfo").read_text())[1]) >> 20
    return f"{time.strftime('%Y-%m-%d')}, {os.cpu_count()} × {cpu}, {memory} GB, Linux {os.uname().release}"


def pinned(core):
    return [] if core is None or (os.cpu_count() or 1) < 2 else ["taskset", "-c", str(core)]


# ---- a process and what it costs ----

class Process:
    def __init__(self, args, core, env=None, cwd=None, log=None):
        self.args = args
        self.popen = subprocess.Popen([*pinned(core), *map(str, args)], env={**os.environ, **(env or {})}, cwd=cwd, stdin=subprocess.DEVNULL,
                                      stdout=log or subprocess.DEVNULL, stderr=subprocess.STDOUT)
        self.pid = self.popen.pid               # taskset becomes the program

    def cpu(self):
        """Seconds of user and system time. /proc/PID/stat counts in 10 ms; the scheduler's own sums over threads are finer, but forget
        threads that ended: the larger is the truer."""
        fields = self.read("stat").rpartition(")")[2].split()
        ticks = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        fine = 0
        for task in pathlib.Path(f"/proc/{self.pid}/task").iterdir():
            try:
                fine += int((task / "schedstat").read_text().split()[0])
            except (OSError, IndexError):
                pass
        return max(ticks, fine / 1e9)

    def read(self, name):
        try:
            return pathlib.Path(f"/proc/{self.pid}/{name}").read_text()
        except OSError:
            raise Failed(f"{pathlib.Path(self.args[0]).name} is gone") from None

    def memory(self, field="VmHWM"):
        """MB: the peak, or VmRSS."""
        return int(re.search(field + r":\s+(\d+)", self.read("status"))[1]) / 1000 * 1.024

    def switches(self):
        n = 0
        for task in pathlib.Path(f"/proc/{self.pid}/task").iterdir():
            n += sum(map(int, re.findall(r"ctxt_switches:\s+(\d+)", (task / "status").read_text())))
        return n

    def settle(self, limit=20):
        """Waits until it does nothing any more."""
        end, quiet, before = time.time() + limit, 0, self.cpu()
        while time.time() < end and quiet < 2:
            time.sleep(0.3)
            now = self.cpu()
            quiet, before = quiet + 1 if now - before < 0.006 else 0, now

    def end(self):
        if self.popen.poll() is None:
            self.popen.terminate()
            try:
                self.popen.wait(8)
            except subprocess.TimeoutExpired:
                self.popen.kill()
                self.popen.wait()


class Echo(Process):
    def __init__(self, host="127.0.0.1", size=0, core=SERVER_CORE, port=None):
        self.port = port or free_port()
        super().__init__([TOOLS / "bench_echo", host, self.port, size], core)
        time.sleep(0.1)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.end()


class Echoes:
    """Several on one port, not pinned: the kernel shares the sockets of their clients out (SO_REUSEPORT)."""

    def __init__(self, n):
        self.each = [Echo(core=None)]
        self.port = self.each[0].port
        self.each += [Echo(core=None, port=self.port) for _ in range(n - 1)]

    def cpu(self):
        return sum(e.cpu() for e in self.each)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for e in self.each:
            e.end()


# ---- the cluster ----

class Cluster(Process):
    """The fake API server in a process of its own. per: endpoints of a service; wide: and a headless service with 100."""

    def __init__(self, services=10000, per=10, namespaces=100, wide=True, core=LOAD_CORE, pods=0):
        self.dir = tempfile.TemporaryDirectory(prefix="fl-bench-api-")
        self.services, self.per, self.namespaces, self.turn = services, per, namespaces, 0
        self.endpoints = services * per + (100 if wide else 0)
        self.popen = subprocess.Popen([*pinned(core), sys.executable, str(ROOT / "test/live/fakeapi.py"), "--tls", self.dir.name + "/tls", "--token",
                                       TOKEN], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.pid, self.args = self.popen.pid, ["the fake API server"]
        line = self.popen.stdout.readline()
        if not line:
            raise Failed("the fake API server did not start")
        at = json.loads(line)
        self.url, self.control = at["url"], at["control"]
        if services:
            self.call("load_big", services=services, endpoints=services * per, namespaces=namespaces, pods=pods)
        self.put("default", "kubernetes", "10.96.0.1", [{"name": "https", "port": 443, "protocol": "TCP"}])
        if wide:
            self.put("ns-000", "wide", "None", [{"name": "http", "port": 80, "protocol": "TCP"}], [f"10.200.1.{i}" for i in range(1, 101)])
        self.call("forget")
        self.kubeconfig = pathlib.Path(self.dir.name, "kubeconfig")
        self.kubeconfig.write_text(f"""apiVersion: v1
kind: Config
clusters: [{{name: c, cluster: {{server: "{self.url}", certificate-authority: "{self.dir.name}/tls/ca.crt"}}}}]
users: [{{name: u, user: {{token: {TOKEN}}}}}]
contexts: [{{name: c, context: {{cluster: c, user: u}}}}]
current-context: c
""")

    def call(self, method, **args):
        req = urllib.request.Request(f"{self.control}/{method}", json.dumps(args).encode(), method="POST")
        with urllib.request.urlopen(req, timeout=600) as r:
            return json.loads(r.read())

    def put(self, ns, name, ip, ports, addresses=()):
        self.call("put", res="namespaces", data={"metadata": {"name": ns}, "status": {"phase": "Active"}})
        self.call("put", res="services", data={"metadata": {"name": name, "namespace": ns}, "spec": {
            "clusterIP": ip, "clusterIPs": [ip], "type": "ClusterIP", "ports": ports, "ipFamilies": ["IPv4"]}})
        if addresses:
            self.call("put", res="endpointslices", data={
                "metadata": {"name": name + "-abcde", "namespace": ns, "labels": {"kubernetes.io/service-name": name}}, "addressType": "IPv4",
                "ports": ports, "endpoints": [{"addresses": [a], "conditions": {"ready": True}} for a in addresses]})

    def events(self, n, rate):
        """n slices get other addresses."""
        self.turn += 1
        self.call("churn", n=n, turn=self.turn, rate=rate)

    def relist(self, wait=30):
        """What happened is forgotten and every connection cut: who watched must list again, or take it all once more."""
        before = len(self.call("requests"))
        self.call("forget")
        self.call("drop")
        end = time.time() + wait
        while time.time() < end:
            again = {r["path"] for r in self.call("requests")[before:] if r["verb"] in ("watch", "watchlist") and r["status"] == 200}
            if len(again) >= 3:
                return
            time.sleep(0.2)
        raise Failed("it did not come back after the connections were cut")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.popen.stdin.close()
        try:
            self.popen.wait(5)
        except subprocess.TimeoutExpired:
            self.popen.kill()
            self.popen.wait()
        self.popen.stdout.close()
        self.dir.cleanup()


# ---- the servers ----

class Server(Process):
    """fairlead or CoreDNS with kubeadm's Corefile, until it is ready; or with a text in which PORT, READY and DIR are filled in."""

    def __init__(self, name, cluster=None, cache="kubeadm", wildcard=False, core=SERVER_CORE, shards=1, pods="insecure", text=None):
        self.name = name
        self.binary = {"fairlead": str(FAIRLEAD), "coredns": coredns_binary()}[name]
        self.dir = tempfile.TemporaryDirectory(prefix=f"fl-bench-{name}-")
        self.port, ready, health, prom = (free_port() for _ in range(4))
        self.upstream = Echo(core=LOAD_CORE)    # for loop and health checks: no question of these goes there
        bind = "" if wildcard else "bind 127.0.0.1"
        self.corefile = pathlib.Path(self.dir.name, "conf/Corefile")    # a folder where nothing else happens: it is watched
        self.corefile.parent.mkdir()
        filled = text and text.replace("PORT", str(self.port)).replace("READY", f"127.0.0.1:{ready}").replace("DIR", self.dir.name)
        self.corefile.write_text(filled or f""".:{self.port} {{
 {bind}
 errors
 health 127.0.0.1:{health} {{
  lameduck 5s
 }}
 ready 127.0.0.1:{ready}
 kubernetes cluster.local in-addr.arpa ip6.arpa {{
  kubeconfig {cluster and cluster.kubeconfig}
  pods {pods}
  fallthrough in-addr.arpa ip6.arpa
  ttl 30
 }}
 prometheus 127.0.0.1:{prom}
 forward . 127.0.0.1:{self.upstream.port} {{
  max_concurrent 1000
 }}
 {CACHES[cache]}
 loop
 reload
 loadbalance
}}
""")
        self.log = open(self.dir.name + "/log", "wb+")
        self.started = time.time()
        super().__init__([self.binary, "-conf", self.corefile], core, {"GOMAXPROCS": str(shards)}, self.dir.name, self.log)
        try:
            self.wait_ready(f"http://127.0.0.1:{ready}/ready")
        except Failed:
            self.close()
            raise
        self.start_cpu, self.start_wall = self.cpu(), time.time() - self.started

    def text(self):
        return pathlib.Path(self.dir.name, "log").read_text("utf-8", "replace")

    def wait_ready(self, url, limit=120):
        while time.time() - self.started < limit:
            if self.popen.poll() is not None:
                last = self.text().strip().splitlines() or ["(it said nothing)"]
                raise Failed(f"{self.name} ended: {last[-1]}")
            try:
                with urllib.request.urlopen(url, timeout=1) as r:
                    if r.status == 200:
                        return
            except OSError:
                pass
            time.sleep(0.01)
        raise Failed(f"{self.name} was not ready after {limit} s")

    def reload(self, limit=30):
        done = self.text().count("Reloading complete")
        os.kill(self.pid, signal.SIGUSR1)
        end = time.time() + limit
        while self.text().count("Reloading complete") == done:
            if time.time() > end or self.popen.poll() is not None:
                raise Failed("a reload did not end")
            time.sleep(0.02)

    def close(self):
        self.popen.kill()                       # with lameduck a polite end takes 5 s
        self.popen.wait()
        self.upstream.end()
        self.log.close()
        self.dir.cleanup()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


# ---- questions and loads ----

def ask(port, name, qtype=1, bufsize=0, host="127.0.0.1"):
    """The reply's bytes."""
    question = b"".join(bytes([len(p)]) + p.encode() for p in name.split(".")) + b"\0" + struct.pack(">HH", qtype, 1)
    opt = b"\0" + struct.pack(">HHIH", 41, bufsize, 0, 0) if bufsize else b""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.settimeout(3)
        s.connect((host, port))
        s.send(struct.pack(">6H", 4711, 0x0100, 1, 0, 0, 1 if bufsize else 0) + question + opt)
        try:
            return s.recv(65535)
        except OSError as e:
            raise Failed(f"no answer: {e}") from None


def mix(cluster, path, lines=20000):
    """Of ten: three A, two AAAA (there are none), three misses of the search list, an SRV, a PTR. The services are asked evenly."""
    import bigcluster
    rng = random.Random(5)
    with open(path, "w") as f:
        for n in range(lines):
            i = rng.randrange(cluster.services)
            ns, other = f"ns-{i % cluster.namespaces:03d}", f"ns-{rng.randrange(cluster.namespaces):03d}"
            while n % 10 >= 8 and i % 10 == 9:  # a headless one has no address to ask for, and its SRV is longer than 512 bytes
                i = rng.randrange(cluster.services)
                ns = f"ns-{i % cluster.namespaces:03d}"
            name = f"svc-{i:05d}.{ns}.svc.cluster.local"
            f.write([f"{name} A", f"{name} A", f"{name} A", f"{name} AAAA", f"{name} AAAA", f"{name}.{other}.svc.cluster.local A",
                     f"{name}.svc.cluster.local AAAA", f"svc-{i:05d}.{ns}.{other}.svc.cluster.local A", f"_http._tcp.{name} SRV",
                     ".".join(reversed(bigcluster.address(i, 172).split("."))) + ".in-addr.arpa PTR"][n % 10] + "\n")
    return path


def load(port, path, seconds, core=LOAD_CORE, **options):
    """Runs bench_load; what it counted."""
    args = [*pinned(core), str(TOOLS / "bench_load"), "127.0.0.1", str(port), str(path), "-t", str(seconds)]
    for key, value in options.items():
        args += ["-" + key, str(value)]
    done = subprocess.run(args, capture_output=True, text=True, timeout=seconds + 60)
    if done.returncode:
        raise Failed("bench_load: " + done.stderr.strip())
    return json.loads(done.stdout)


class Cost:
    """Of one load on one server."""

    def __init__(self, process, path, seconds, **options):
        before = process.cpu()
        self.load = load(process.port, path, seconds, **options)
        cpu = process.cpu() - before
        self.answered = self.load["answered"]
        if not self.answered:
            raise Failed("nothing was answered")
        self.us, self.qps, self.busy = cpu / self.answered * 1e6, self.load["qps"], cpu / self.load["seconds"]
        self.codes = {k: round(self.load[k] / self.answered, 3) for k in ("noerror", "nxdomain", "servfail", "refused")}

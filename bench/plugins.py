"""More figures: what single plugins cost, pods that are followed, how soon an update is answered."""
import contextlib, socket, struct, threading, time

from rig import Cluster, Echo, Failed, Server, ask, load
from rows import addresses, how_busy, least, row, same_answers

HEAD = " bind 127.0.0.1\n ready READY\n"
NAMES = [f"host-{i:03d}.test" for i in range(200)]
HOSTS = " hosts {\n" + "".join(f"  10.0.{i // 250}.{i % 250 + 1} {n}\n" for i, n in enumerate(NAMES)) + " }\n"
IP = r'"^ip-(?P<a>[0-9]*)-(?P<b>[0-9]*)-(?P<c>[0-9]*)-(?P<d>[0-9]*)[.]test[.]$"'

# name: Corefile, questions, times the echo
PLUGINS = {
    "hosts": (f".:PORT {{\n{HEAD}{HOSTS}}}\n", [f"{n} A" for n in NAMES], 1.6),
    "rewrite": (f".:PORT {{\n{HEAD} rewrite name suffix .old.test .test answer auto\n{HOSTS}}}\n",
                [n.replace(".test", ".old.test") + " A" for n in NAMES], 1.6),
    "template": (f".:PORT {{\n{HEAD} template IN A test {{\n  match {IP}\n"
                 "  answer \"{{ .Name }} 60 IN A {{ .Group.a }}.{{ .Group.b }}.{{ .Group.c }}.{{ .Group.d }}\"\n }\n}\n",
                 [f"ip-10-1-{i // 250}-{i % 250}.test A" for i in range(1000)], 1.6),
    "view": (f".:PORT {{\n{HEAD} view inside {{\n  expr incidr(client_ip(), '10.0.0.0/8') && type() == 'A'\n }}\n whoami\n}}\n"
             f".:PORT {{\n bind 127.0.0.1\n{HOSTS}}}\n", [f"{n} A" for n in NAMES], 1.6),
    "log, to a file": (f".:PORT {{\n{HEAD} log\n{HOSTS}}}\n", [f"{n} A" for n in NAMES], 2),
}


@row
def plugins(b):
    """One plugin each, answers of one address."""
    for name, (text, questions, times) in PLUGINS.items():
        path = b.lines(*questions)
        with contextlib.ExitStack() as s:
            servers = {"echo": s.enter_context(Echo()), **b.serving(s, None, text=text)}
            us, costs = b.race(servers, path)
            b.add(f"plugin {name}", "µs/query", us, f"≤ {times} × echo, ≤ 1/5", least(times, 1 / 5), how_busy(costs) + same_answers(costs))


@row
def verified_pods(b):
    """Peak RSS with a hundred thousand pods besides the services."""
    rss = {}
    with Cluster(pods=10000 if b.quick else 100000) as c:
        for n in b.names:
            try:
                with Server(n, c, pods="verified") as p:
                    p.settle()
                    rss[n] = p.memory()
            except Failed as e:
                rss[n] = str(e)
    b.add(f"peak RSS, the same and {'10,000' if b.quick else '100,000'} verified pods", "MB", rss, "≤ 40 MB", lambda v: v["fairlead"] <= 40)


def poll(port, name, seen, stop):
    """Notes when each address was first answered, asking every millisecond."""
    question = b"".join(bytes([len(p)]) + p.encode() for p in name.split(".")) + b"\0" + struct.pack(">HH", 1, 1)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.connect(("127.0.0.1", port))
        s.settimeout(1)
        at = time.monotonic()
        while not stop.is_set():
            s.send(struct.pack(">6H", 7, 0x0100, 1, 0, 0, 0) + question)
            try:
                for a in addresses(s.recv(4096)):
                    seen.setdefault(socket.inet_ntoa(a), time.monotonic())
            except OSError:
                pass
            at += 0.001
            time.sleep(max(0, at - time.monotonic()))


def update_latency(b, name, c, n):
    """Seconds from the write to the first answer that shows it, n of them, under half of the saturating load."""
    who = "moving.ns-000.svc.cluster.local"
    ports = [{"name": "http", "port": 80, "protocol": "TCP"}]
    c.put("ns-000", "moving", "10.97.0.0", ports)
    with Server(name, c) as p:
        p.settle()
        path = b.questions(c)
        full = load(p.port, path, 2)["qps"]
        seen, stop = {}, threading.Event()
        poller = threading.Thread(target=poll, args=(p.port, who, seen, stop))
        loader = threading.Thread(target=load, args=(p.port, path, int(n * 0.05) + 2), kwargs={"r": int(full / 2)})
        loader.start()
        poller.start()
        wrote = {}
        try:
            time.sleep(0.5)
            for i in range(n):
                ip = f"10.97.{1 + i // 250}.{i % 250 + 1}"
                wrote[ip] = time.monotonic()
                c.call("put", res="services", data={"metadata": {"name": "moving", "namespace": "ns-000"}, "spec": {
                    "clusterIP": ip, "clusterIPs": [ip], "type": "ClusterIP", "ports": ports, "ipFamilies": ["IPv4"]}})
                time.sleep(0.05)
        finally:
            stop.set()
            poller.join()
            loader.join()
    took = sorted(seen[ip] - at for ip, at in wrote.items() if ip in seen)
    if len(took) < n * 0.95:
        raise Failed(f"{name}: {n - len(took)} of {n} updates were never seen")
    return took


@row
def update_seen(b):
    """Object written until the answer changes."""
    c = b.cluster()
    n = 40 if b.quick else 200
    p99, notes = {}, []
    for name in b.names:
        try:
            took = update_latency(b, name, c, n)
            p99[name] = took[int(len(took) * 0.99)] * 1000
            notes.append(f"{name} median {took[len(took) // 2] * 1000:.1f}")
        except Failed as e:
            p99[name] = str(e)
    b.add("an update until it is answered, p99, half load", "ms", p99, "≤ CoreDNS", lambda v: v["fairlead"] <= v["coredns"], ", ".join(notes))

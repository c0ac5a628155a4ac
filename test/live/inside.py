"""Runs an unpacked image as a container runtime would, in namespaces of its own (unshare), and asks it. usage: inside.py ROOTFS VOLUMES

A root that cannot be written, the volumes (folders below VOLUMES) bound to their places, user 65532, NET_BIND_SERVICE as the only capability, no new
privileges, a fake API server at the in-cluster address. Prints a JSON object of what was seen."""
import ctypes, json, os, pathlib, signal, socket, sys, time, urllib.error, urllib.request
import dns.message, dns.rcode
from fakeapi import FakeAPI

USER, NET_BIND_SERVICE = 65532, 10
PLACES = {"coredns": "etc/coredns", "account": "var/run/secrets/kubernetes.io/serviceaccount", "resolv.conf": "etc/resolv.conf"}
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE = 1, 2, 4, 32, 4096, 16384, 1 << 18
PR_SET_KEEPCAPS, PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS = 8, 24, 38
libc = ctypes.CDLL(None, use_errno=True)


def do(ret):
    if ret:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def mount(source, target, kind, flags):
    do(libc.mount(str(source).encode(), str(target).encode(), kind, ctypes.c_ulong(flags), None))


def bind(source, target):
    mount(source, target, None, MS_BIND | MS_REC)
    mount(source, target, None, MS_BIND | MS_REMOUNT | MS_RDONLY | MS_NODEV)


def prepare(root, volumes):
    mount("none", "/", None, MS_REC | MS_PRIVATE)
    for name, place in PLACES.items():
        at = root / place
        if (volumes / name).is_dir():
            at.mkdir(parents=True, exist_ok=True)
        else:
            at.touch()
    (root / "proc").mkdir(exist_ok=True)
    bind(root, root)
    for name, place in PLACES.items():
        bind(volumes / name, root / place)
    mount("proc", root / "proc", b"proc", MS_NOSUID | MS_NODEV)


def become(root, env):
    """The last steps of a runtime: what runc does for a pod with allowPrivilegeEscalation false and one capability added."""
    os.chroot(root)
    os.chdir("/")
    for cap in range(64):
        if cap != NET_BIND_SERVICE and libc.prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) and ctypes.get_errno() != 22:
            raise OSError(ctypes.get_errno(), "prctl")
    do(libc.prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0))
    os.setgroups([])
    os.setresgid(USER, USER, USER)
    os.setresuid(USER, USER, USER)
    bit = 1 << NET_BIND_SERVICE
    do(libc.capset((ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)(bit, bit, 0, 0, 0, 0)))
    do(libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
    os.execve("/coredns", ["/coredns", "-conf", "/etc/coredns/Corefile"], env)


def get(port, path):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=20) as r:
            return r.status, r.read().decode()
    except urllib.error.HTTPError as e:
        return e.code, ""
    except OSError:
        return 0, ""


def ask(name, kind="A", tcp=False):
    q = dns.message.make_query(name, kind)
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM if tcp else socket.SOCK_DGRAM) as s:
        s.settimeout(20)
        s.connect(("127.0.0.1", 53))
        wire = q.to_wire()
        s.sendall(len(wire).to_bytes(2, "big") + wire if tcp else wire)
        m = dns.message.from_wire(s.recv(65535)[2 if tcp else 0:])
    return [dns.rcode.to_text(m.rcode()), *sorted(str(r) for rrset in m.answer for r in rrset)]


def look(root, child, questions):
    end = time.time() + 60
    while get(8181, "/ready")[0] != 200:
        if time.time() > end or os.waitpid(child, os.WNOHANG)[0]:
            return {"error": "never ready"}
        time.sleep(0.05)
    status = (root / f"proc/{child}/status").read_text()
    seen = {line.split(":")[0]: line.split(":")[1].split() for line in status.splitlines()}
    metrics = get(9153, "/metrics")
    return {"answers": {f"{n} {k}": ask(n, k) for n, k in questions}, "tcp": ask(*questions[0], tcp=True), "health": get(8080, "/health")[0],
            "ready": get(8181, "/ready")[0], "metrics": metrics[0], "build": "coredns_build_info" in metrics[1],
            "status": {k: seen[k] for k in ("Uid", "Gid", "CapEff", "CapPrm", "CapBnd", "CapInh", "CapAmb", "NoNewPrivs", "Seccomp")},
            "root": (os.statvfs(root).f_flag & os.ST_RDONLY) != 0}


def main():
    root, volumes = (pathlib.Path(a) for a in sys.argv[1:])
    os.system("ip link set lo up")
    prepare(root, volumes)
    with FakeAPI(443, tls=volumes / "tls", token="secret-token") as api:
        api.put("namespaces", {"metadata": {"name": "default"}})
        api.put("services", {"metadata": {"name": "kubernetes", "namespace": "default"}, "spec": {
            "type": "ClusterIP", "clusterIP": "10.96.0.1", "clusterIPs": ["10.96.0.1"], "ports": [{"port": 443, "name": "https", "protocol": "TCP"}]}})
        env = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": "443"}
        child = os.fork()
        if not child:
            os.dup2(2, 1)
            become(root, env)
        seen = look(root, child, json.loads((volumes / "questions").read_text()))
        if "error" not in seen:
            api.put("services", {"metadata": {"name": "new", "namespace": "default"}, "spec": {
                "type": "ClusterIP", "clusterIP": "10.96.0.2", "clusterIPs": ["10.96.0.2"], "ports": []}})
            end = time.time() + 30
            while "NXDOMAIN" in seen.setdefault("new", ["NXDOMAIN"]) and time.time() < end:
                seen["new"] = ask("new.default.svc.cluster.local.")
                time.sleep(0.05)
            os.kill(child, signal.SIGTERM)
            seen["exit"] = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    print(json.dumps(seen), flush=True)
    os._exit(0)


main()

"""Runs the program for a test: a Corefile in a folder of its own, free ports, its log at hand."""
import random, os, pathlib, signal, socket, subprocess, tempfile, time, urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
BINARY = os.environ.get("FAIRLEAD", str(ROOT / "build/fairlead"))


def free_port():
    """A port that is free for both transports on every address, below those that the kernel gives to sockets that connect."""
    while True:
        port = random.SystemRandom().randrange(10000, 32000)
        with socket.socket(socket.AF_INET6) as t, socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as u:
            try:
                t.bind(("::", port))
                u.bind(("::", port))
                return port
            except OSError:
                continue


class Server:
    """with Server("{port} …") as s: s.port answers. Corefile text is formatted with port, port2, dir and what else is given."""

    def __init__(self, corefile, args=(), env=None, binary=BINARY, wait=True, **names):
        self.tmp = tempfile.TemporaryDirectory(prefix="fairlead-")
        self.dir = pathlib.Path(self.tmp.name)
        self.port, self.port2 = free_port(), free_port()
        self.names = dict(port=self.port, port2=self.port2, dir=self.dir, **names)
        self.path = self.dir / "Corefile"
        self.binary, self.args, self.env, self.wait = binary, list(args), env, wait
        self.process = None
        if corefile is not None:
            self.write(corefile)

    def write(self, corefile):
        tmp = self.dir / ".new"
        text = corefile
        for k, v in self.names.items():
            text = text.replace("{%s}" % k, str(v))
        tmp.write_text(text)
        tmp.rename(self.path)

    def start(self):
        self.out = open(self.dir / "log", "wb+")
        self.process = subprocess.Popen([self.binary, "-conf", str(self.path), "-dns.port", str(self.port), *self.args], cwd=self.dir,
                                        env={**os.environ, **(self.env or {})}, stdout=self.out, stderr=subprocess.STDOUT,
                                        stdin=subprocess.DEVNULL)
        if self.wait:
            self.wait_log("CoreDNS-1.15.0")
        return self

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.out.close()
        self.tmp.cleanup()

    def log(self):
        return (self.dir / "log").read_text("utf-8", "replace")

    def wait_log(self, text, timeout=60, count=1):
        end = time.time() + timeout
        while time.time() < end:
            if self.log().count(text) >= count:
                return
            if self.process.poll() is not None:
                break
            time.sleep(0.01)
        raise AssertionError(f"{text!r} did not come; the log:\n{self.log()}")

    def signal(self, name):
        self.process.send_signal(getattr(signal, name))

    def exit_code(self, timeout=60):
        return self.process.wait(timeout)

    def udp(self, packet, host="127.0.0.1", port=None, timeout=20.0, family=socket.AF_INET):
        """The reply to a packet; None when none comes: who wants that says for how long. (A busy machine answers late.)"""
        with socket.socket(family, socket.SOCK_DGRAM) as s:
            s.settimeout(timeout)
            s.connect((host, port or self.port))
            s.send(packet)
            try:
                return s.recv(65535)
            except (socket.timeout, ConnectionRefusedError):
                return None

    def tcp(self, packets, timeout=20.0, port=None):
        """The replies to packets on one connection, in the order they come."""
        with socket.create_connection(("127.0.0.1", port or self.port), timeout) as s:
            s.sendall(b"".join(len(p).to_bytes(2, "big") + p for p in packets))
            return [frame(s) for _ in packets]


def take(s, n):
    """n bytes of a connection."""
    b = b""
    while len(b) < n:
        got = s.recv(n - len(b))
        if not got:
            raise EOFError
        b += got
    return b


def frame(s):
    """The next message of a connection, whose length goes before it."""
    return take(s, int.from_bytes(take(s, 2), "big"))


def metrics(port):
    return urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10).read().decode()


def metric(port, name, **labels):
    """The sum of a metric's series, of those that have these labels; a name with the front of its labels is of those that begin so."""
    begins = (name,) if "{" in name else (name.rstrip() + "{", name.rstrip() + " ")
    return sum(float(line.rpartition(" ")[2]) for line in metrics(port).splitlines()
               if line.startswith(begins) and all(f'{k}="{v}"' in line for k, v in labels.items()))


def cpu_seconds(pid):
    """User and system time of a process, in seconds."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def sanitized(binary=BINARY):
    """Built with a sanitizer, which takes memory, threads and system calls of its own."""
    text = pathlib.Path(binary).read_bytes()
    return b"__asan_init" in text or b"__tsan_init" in text


def peak_rss_kb(pid):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1])

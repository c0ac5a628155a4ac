"""Reloads under load: 200 of them while UDP queries come as fast as they are answered and 50 TCP connections ask on. No query is lost,
no connection reset, descriptors and memory stay where they were. A slow machine makes fewer reloads in the time that is given."""
import json, os, socket, subprocess, threading, time
import dns.message
from server import ROOT, Server, frame, peak_rss_kb, sanitized
from upstream import wait_for

COREFILE = """.:{port} {
    errors
    kubernetes cluster.local in-addr.arpa ip6.arpa {
        manifests {dir}/cluster
        pods insecure
        ttl 30
    }
    cache 30
    loadbalance
    reload 2s
}
"""


def test_200_reloads_lose_nothing(tmp_path):
    s = Server(COREFILE)
    os.symlink(ROOT / "examples/cluster", s.dir / "cluster")
    questions = tmp_path / "questions"
    questions.write_text("web.shop.svc.cluster.local A\ndb.data.svc.cluster.local A\nnope.shop.svc.cluster.local A\n"
                         "_http._tcp.web.shop.svc.cluster.local SRV\n1.20.96.10.in-addr.arpa PTR\n")
    with s:
        query = dns.message.make_query("web.shop.svc.cluster.local", "A").to_wire()
        framed = len(query).to_bytes(2, "big") + query
        stop, broken, answered = threading.Event(), [], [0]

        def client(conn):
            try:
                while not stop.is_set():
                    conn.sendall(framed)
                    assert frame(conn)[3] & 15 == 0
                    answered[0] += 1
                    time.sleep(0.05)
            except Exception as e:
                broken.append(repr(e))

        conns = [socket.create_connection(("127.0.0.1", s.port), 60) for _ in range(50)]
        threads = [threading.Thread(target=client, args=(c,)) for c in conns]
        for t in threads:
            t.start()
        wait_for(lambda: answered[0] > 200)
        fds, rss = len(os.listdir(f"/proc/{s.process.pid}/fd")), peak_rss_kb(s.process.pid)
        results, end = [], time.monotonic() + 60
        while s.log().count("Reloading complete") < 200 and time.monotonic() < end:
            load = subprocess.Popen([ROOT / "build/bench_load", "127.0.0.1", str(s.port), questions, "-t", "5", "-s", "16", "-w", "128"],
                                    stdout=subprocess.PIPE, text=True)
            while load.poll() is None:
                s.signal("SIGUSR1")
                time.sleep(0.08)
            results.append(json.loads(load.communicate()[0]))
        result = {k: sum(r[k] for r in results) for k in ("answered", "lost", "late", "servfail", "refused")}
        s.wait_log("Reloading complete", count=20)
        stop.set()
        for t in threads:
            t.join()
        wait_for(lambda: len(os.listdir(f"/proc/{s.process.pid}/fd")) <= fds)
        after = len(os.listdir(f"/proc/{s.process.pid}/fd"))
        for c in conns:
            c.close()
        print(result, "tcp", answered[0], "reloads", s.log().count("Reloading complete"), "fds", fds, after, "rss", rss, peak_rss_kb(s.process.pid))
        assert not broken
        assert result["lost"] <= result["late"] and result["servfail"] == 0 and result["refused"] == 0      # late: after two seconds
        assert result["answered"] > 10000
        if not sanitized():     # which keeps what was freed
            assert peak_rss_kb(s.process.pid) <= 1.1 * rss + 4096       # load and stacks of the first queries are in it

"""Zones too big for one message: sent as fast as the client reads, not a byte of memory faster."""
import socket, struct, threading, time
import dns.flags, dns.message, dns.rdatatype
from server import Server, frame, peak_rss_kb, sanitized

SERVICES = 12000
COREFILE = """.:{port} {
    bind 127.0.0.1
    timeouts {
        write 60s
    }
    transfer cluster.local {
        to *
    }
    kubernetes cluster.local {
        manifests {dir}/cluster
        startup_timeout 30s
    }
}
"""


def manifests(folder):
    folder.mkdir()
    (folder / "ns.yaml").write_text("apiVersion: v1\nkind: Namespace\nmetadata: {name: a}\n")
    for part in range(12):
        (folder / f"{part}.yaml").write_text("---\n".join(
            f"apiVersion: v1\nkind: Service\nmetadata: {{name: a-service-with-a-longer-name-{i:05d}, namespace: a}}\n"
            f"spec: {{clusterIP: 10.{100 + i // 65536}.{i // 256 % 256}.{i % 256}, ports: [{{name: http, port: 80, protocol: TCP}},"
            " {name: metrics, port: 9090, protocol: TCP}]}\n" for i in range(part * 1000, part * 1000 + 1000)))


def begin(s):
    c = socket.socket()
    c.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
    c.settimeout(20)
    c.connect(("127.0.0.1", s.port))
    q = dns.message.make_query("cluster.local.", "AXFR").to_wire()
    c.sendall(struct.pack("!H", len(q)) + q)
    return c


def rest(c):
    """The number of messages and of records, once the second SOA came."""
    messages = records = soas = 0
    while soas < 2:
        m = dns.message.from_wire(frame(c), one_rr_per_rrset=True, xfr=True)
        assert m.rcode() == 0 and m.flags & dns.flags.AA
        messages += 1
        records += len(m.answer)
        soas += sum(r.rdtype == dns.rdatatype.SOA for r in m.answer)
        assert messages > 1 or m.answer[0].rdtype == dns.rdatatype.SOA
    assert m.answer[-1].rdtype == dns.rdatatype.SOA
    return messages, records


def ask(s):
    q = dns.message.make_query("a-service-with-a-longer-name-00042.a.svc.cluster.local.", "A").to_wire()
    return s.udp(q)


def test_a_big_zone_waits_for_its_reader():
    s = Server(COREFILE)
    manifests(s.dir / "cluster")
    with s:
        whole = 2 + SERVICES * 5
        with begin(s) as slow, begin(s) as gone, begin(s) as slower:
            time.sleep(0.5)             # nobody reads: the server holds what it may, and answers others
            assert ask(s)
            gone.recv(1000)
            gone.close()
            peak = peak_rss_kb(s.process.pid)
            assert s.tcp([dns.message.make_query("nosuch.cluster.local.", "A").to_wire()])
            s.signal("SIGUSR1")         # what is on its way goes on over a reload
            s.wait_log("Reloading complete")
            got = {}
            t = threading.Thread(target=lambda: got.update(slower=rest(slower)))
            t.start()
            messages, records = rest(slow)
            t.join()
            assert records == whole and got["slower"] == (messages, whole) and messages > 40
            assert s.log().count(f"[INFO] plugin/transfer: Outgoing transfer of {whole} records of zone \"cluster.local.\" to 127.0.0.1") == 2
            # three copies of some 4.5 MB, and never the messages made of them
            assert sanitized() or peak < 80 * 1024
        assert ask(s)
        s.signal("SIGTERM")
        assert s.exit_code() == 0


def test_a_reader_that_stops_holds_nothing_up():
    s = Server(COREFILE)
    manifests(s.dir / "cluster")
    with s, begin(s):
        time.sleep(0.3)
        began = time.monotonic()
        s.signal("SIGTERM")
        assert s.exit_code(20) == 0 and time.monotonic() - began < 18

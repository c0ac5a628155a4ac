"""The books over every way: what came in was answered, each request was a hit or a miss, and what missed went to the upstream or waited for one that did."""
import re, socket, ssl, struct, urllib.request
import dns.message, dns.rcode
from server import Server
from test_reload_flight import SERVES, WAYS, World, answers, ask, asks
from upstream import a_record, wait_for

BOOKS = SERVES.replace("    errors\n", "    errors\n    prometheus 127.0.0.1:{port2}\n    cache {\n        servfail 0\n    }\n") \
              .replace("read_timeout 9s", "read_timeout 300ms")


class Books(World):
    """Its upstream answers, fails, is silent or lies, as the name says."""
    lies = 0

    def later(self, q, wire, peer):
        name, good = q.question[0].name.to_text(), a_record(q)
        if name.startswith("held"):
            self.held.append((good, peer))
        elif name.startswith("fail"):
            r = dns.message.make_response(q)
            r.set_rcode(dns.rcode.SERVFAIL)
            return r.to_wire()
        elif name.startswith("lie"):
            self.lies += 1
            return [bytes([good[0] ^ 1]) + good[1:], good]
        elif not name.startswith("mute"):
            return good

    def __enter__(self):
        self.up.__enter__()
        self.server = Server(BOOKS, up=self.up.to, **self.names).start()
        self.asker = Server(asks(0), **self.names).start()
        return self

    def sum(self, name, **labels):
        text = urllib.request.urlopen(f"http://127.0.0.1:{self.server.port2}/metrics", timeout=10).read().decode()
        lines = re.findall(r"(?m)^%s(?:_total|_count)?\{(.*)\} (\S+)$" % name, text)
        return sum(float(v) for have, v in lines if all(f'{k}="{w}"' in have for k, w in labels.items()))

    def leaves(self, way, n):
        """A client that asks, and resets its connection before there is an answer."""
        with socket.create_connection(("127.0.0.1", self.names[way]), 10) as s:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            if way == "tls":
                context = ssl.create_default_context(cafile=self.names["ca"])
                context.check_hostname = False
                s = context.wrap_socket(s)
            for i in range(n):
                wire = dns.message.make_query(f"held{3 if i == n - 1 else i % 3}.{way}.test", "A").to_wire()
                s.sendall(len(wire).to_bytes(2, "big") + wire)
            wait_for(lambda: any(b"held3" + bytes([len(way)]) + way.encode() in wire for wire, _ in self.held))     # the last one came in
            s.close()


def test_books(tmp_path):
    with Books(tmp_path) as w, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as c:
        c.connect(("127.0.0.1", w.asker.port))
        c.settimeout(30)
        count = 0
        for way in WAYS:
            for name in ("good", "fail", "lie", "mute", "good", "lie"):
                q = dns.message.make_query(f"{name}.{way}.test", "A", use_edns=0)
                q.id = count
                c.send(q.to_wire())
                assert answers(c, 1).keys() == {count}
                count += 1
        for way in ("dns", "tls"):
            w.leaves(way, 12)
        w.release()
        wait_for(lambda: w.sum("coredns_dns_responses") == w.sum("coredns_dns_requests") >= count + 24)
        requests = w.sum("coredns_cache_requests")
        assert requests == w.sum("coredns_dns_requests")
        assert w.sum("coredns_cache_hits") + w.sum("coredns_cache_misses") == requests
        assert w.sum("coredns_cache_hits") == 2 * len(WAYS)
        assert len(w.up.seen) == w.sum("coredns_proxy_conn_cache_hits", proto="udp") + w.sum("coredns_proxy_conn_cache_misses", proto="udp")
        assert len(WAYS) <= w.sum("fairlead_forward_odd_replies", reason="id") <= w.lies     # more when a busy machine took the time of one

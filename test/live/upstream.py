"""An upstream for a test: answers as a function says, over UDP, TCP or TLS, and remembers who asked what."""
import socket, ssl, threading, time
import dns.flags, dns.message, dns.rrset


class Upstream:
    """answer(query, wire, peer) → bytes, or a list of bytes to send, or None. Free port on `host`; several on one port by `port`."""

    def __init__(self, answer, host="127.0.0.1", port=0, tls=None):
        self.answer, self.tls, self.seen, self.peers, self.conns, self.open = answer, tls, [], [], [], True
        while True:
            self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self.tcp = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            self.tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self.udp.bind((host, port))
            try:
                self.tcp.bind((host, self.udp.getsockname()[1]))
                break
            except OSError:
                self.udp.close(), self.tcp.close()
                if port:
                    raise
        self.udp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        self.host, self.port = host, self.udp.getsockname()[1]
        self.to = f"{host}:{self.port}"
        self.tcp.listen(64)
        self.threads = [threading.Thread(target=f, daemon=True) for f in (self._udp, self._tcp)]

    def __enter__(self):
        for t in self.threads:
            t.start()
        return self

    def __exit__(self, *_):
        """Gone, with its connections: who holds one hears no more of it."""
        self.open = False
        for s in (self.tcp, self.udp, *self.conns):
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        for t in self.threads:
            t.join(2)
        self.udp.close(), self.tcp.close()

    def _replies(self, wire, peer):
        self.seen.append(wire)
        self.peers.append(peer)
        got = self.answer(dns.message.from_wire(wire, ignore_trailing=True), wire, peer)
        return [] if got is None else got if isinstance(got, list) else [got]

    def _udp(self):
        self.udp.settimeout(0.2)
        while self.open:
            try:
                wire, peer = self.udp.recvfrom(65535)
            except socket.timeout:
                continue
            except OSError:
                return
            for r in self._replies(wire, peer) if wire else []:
                self.udp.sendto(r, peer)

    def _tcp(self):
        while self.open:
            try:
                s, peer = self.tcp.accept()
            except OSError:
                return
            self.conns.append(s)
            threading.Thread(target=self._conn, args=(s, peer), daemon=True).start()

    def _conn(self, s, peer):
        try:
            if self.tls:
                raw, s = s, self.tls.wrap_socket(s, server_side=True)
                self.conns[self.conns.index(raw)] = s           # the old object has no descriptor any more
            data = b""
            while True:
                got = s.recv(65536)
                if not got:
                    return
                data += got
                while len(data) >= 2 and len(data) >= 2 + int.from_bytes(data[:2], "big"):
                    n = int.from_bytes(data[:2], "big")
                    wire, data = data[2:2 + n], data[2 + n:]
                    for r in self._replies(wire, peer):
                        s.sendall(len(r).to_bytes(2, "big") + r)
        except (OSError, ssl.SSLError):
            pass
        finally:
            s.close()


def tls_server(cert, key, ca=None):
    c = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    c.load_cert_chain(cert, key)
    if ca:
        c.verify_mode = ssl.CERT_REQUIRED
        c.load_verify_locations(ca)
    return c


def a_record(query, address="192.0.2.1", ttl=60):
    """The answer to an A question, with what its name has of letters."""
    r = dns.message.make_response(query, recursion_available=True)
    if query.question[0].rdtype == 1:
        r.answer.append(dns.rrset.from_text(query.question[0].name, ttl, "IN", "A", address))
    return r.to_wire()


def wait_for(what, timeout=60):
    end = time.time() + timeout
    while time.time() < end:
        got = what()
        if got:
            return got
        time.sleep(0.02)
    raise AssertionError("it did not come to that")

"""An HTTP proxy for a test: CONNECT only."""
import socket, threading


class Proxy:
    """CONNECT, one thread each; what was asked for is in asked. host: where all connections lead, whatever was asked for."""

    def __init__(self, refuse=False, host=None):
        self.refuse, self.asked, self.host = refuse, [], host
        self.sock = socket.create_server(("127.0.0.1", 0))
        self.port = self.sock.getsockname()[1]
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                c, _ = self.sock.accept()
            except OSError:
                return
            threading.Thread(target=self.one, args=(c,), daemon=True).start()

    def one(self, c):
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            more = c.recv(1)
            if not more:
                return
            head += more
        self.asked.append(head.decode())
        if self.refuse:
            c.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n")
            c.close()
            return
        host, _, port = head.split()[1].decode().rpartition(":")
        up = socket.create_connection((self.host or host, int(port)))
        c.sendall(b"HTTP/1.1 200 Connection established\r\nx-y: z\r\n\r\n")
        threading.Thread(target=self.pipe, args=(up, c), daemon=True).start()
        self.pipe(c, up)

    @staticmethod
    def pipe(a, b):
        try:
            while data := a.recv(65536):
                b.sendall(data)
        except OSError:
            pass
        for s in (a, b):
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

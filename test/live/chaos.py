"""Upstreams that misbehave by a seed, and what may never come of it. The answer to a name is made from the name: nobody can hand out another's."""
import asyncio, collections, hashlib, random, socket, struct
import dns.exception, dns.message
from server import free_port

A, TXT, AAAA = 1, 16, 28
LIE = b"\6\6\6\6"
QUIET = {"good": 1}
ROUGH = dict(good=40, late=5, very_late=1, twice=4, wrong_id=4, wrong_question=4, wrong_class=2, case=3, source=3, query=2, no_question=2, servfail=3,
             refused=2, odd_code=2, nxdomain=3, cut=3, short=2, garbage=2, tc=3, big=3, silent=3, reset=3, fin=3, half=2, part=2, nothing=1, slowly=2)
WORST = ({"silent": 1}, {"reset": 1, "silent": 1}, {"servfail": 1}, {"tc": 1}, {"late": 1})


def wire_name(text):
    return b"".join(bytes([len(label)]) + label.encode() for label in text.split(".")) + b"\0"


def mixed(name, r):
    return bytes(c ^ 32 if chr(c).isalpha() and r.random() < .5 else c for c in name)


def question(wire):
    """Its name, type, and where it ends."""
    at = 12
    while wire[at]:
        at += 1 + wire[at]
    return wire[12:at + 1], struct.unpack("!H", wire[at + 1:at + 3])[0], at + 5


def data_of(name, qtype):
    h = hashlib.md5(name.lower()).digest()[:4]
    return {A: h, AAAA: bytes(12) + h, TXT: b"\x08" + h.hex().encode()}.get(qtype)


def record(owner, rtype, ttl, data):
    return owner + struct.pack("!HHIH", rtype, 1, ttl, len(data)) + data


def reply(wire, rcode=0, ttl=2, lie=False, name=None, ident=None, klass=1, flags=0x8080, questions=1, copies=1):
    asked, qtype, end = question(wire)
    data = data_of(asked, qtype)
    if lie and data:
        data = {A: LIE, AAAA: bytes(12) + LIE, TXT: b"\x046666"}[qtype]
    good = not rcode and data
    body = record(b"\xc0\x0c", qtype, ttl, data) * copies if good else record(b"\0", 6, ttl, bytes(2) + struct.pack("!5I", 1, 60, 60, 60, 2))
    asked_edns = wire[10:12] != b"\0\0"
    head = struct.pack("!HHHHH", flags | wire[2] << 8 & 0x0100 | rcode, questions, copies if good else 0, 0 if good else 1, asked_edns)
    opt = b"\0" + struct.pack("!HHIH", 41, 1232, 0, 0) if asked_edns else b""
    if not questions:
        return (ident or wire[:2]) + struct.pack("!HHHHH", flags | rcode, 0, 0, 0, 0)
    return (ident or wire[:2]) + head + (name or asked) + struct.pack("!HH", qtype, klass) + body + opt


class Chaos:
    """modes: what it does, with weights; may be changed at any time."""

    def __init__(self, seed, tls=None):
        self.r, self.tls, self.port, self.modes = random.Random(seed), tls, free_port(), dict(ROUGH)

    async def start(self):
        up = self

        class Datagrams(asyncio.DatagramProtocol):
            def datagram_received(self, wire, peer):
                up.datagram(wire, peer)
        self.udp, _ = await asyncio.get_running_loop().create_datagram_endpoint(Datagrams, local_addr=("127.0.0.1", self.port))
        self.stranger = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.stranger.bind(("127.0.0.1", 0))
        self.server = await asyncio.start_server(self.connection, "127.0.0.1", self.port, ssl=self.tls)
        return self

    def stop(self):
        self.udp.close(), self.stranger.close(), self.server.close()

    def mode(self):
        return self.r.choices(list(self.modes), list(self.modes.values()))[0]

    def messages(self, wire, mode):
        """[(after seconds, octets)]"""
        r, (name, _, end) = self.r, question(wire)
        good = reply(wire, ttl=r.choice((0, 1, 2, 5)))
        liar = dict(wrong_id=dict(ident=bytes([wire[0], wire[1] ^ 1])), wrong_question=dict(name=b"\x04evil\0"), wrong_class=dict(klass=3),
                    query=dict(flags=0x0080), no_question=dict(questions=0))
        if mode in liar:
            return [(0, reply(wire, lie=True, **liar[mode])), (.01, good)]
        return {
            "late": lambda: [(r.uniform(.05, .6), good)],
            "very_late": lambda: [(r.uniform(1.5, 4), good)],
            "twice": lambda: [(0, good), (0, good), (.2, good)],
            "case": lambda: [(0, reply(wire, name=mixed(name, r)))],
            "servfail": lambda: [(0, reply(wire, 2))],
            "refused": lambda: [(0, reply(wire, 5))],
            "odd_code": lambda: [(0, reply(wire, r.choice((1, 4, 6, 9, 15))))],
            "nxdomain": lambda: [(0, reply(wire, 3))],
            "cut": lambda: [(0, good[:r.randrange(end, len(good))])],
            "short": lambda: [(0, good[:r.randrange(12)]), (.01, good)],
            "garbage": lambda: [(0, wire[:2] + r.randbytes(r.randrange(100))), (.01, good)],
            "tc": lambda: [(0, reply(wire, flags=0x8280))],
            "big": lambda: [(0, reply(wire, copies=r.randrange(5, 200)))],
            "silent": lambda: [],
        }.get(mode, lambda: [(0, good)])()

    def later(self, after, send, *what):
        if after:
            asyncio.get_running_loop().call_later(after, send, *what)
        else:
            send(*what)

    def datagram(self, wire, peer):
        mode = self.mode()
        if mode == "source":
            self.stranger.sendto(reply(wire, lie=True), peer)
        for after, octets in self.messages(wire, mode):
            self.later(after, lambda b=octets: self.udp.is_closing() or self.udp.sendto(b, peer))

    async def connection(self, reader, writer):
        def send(octets):
            if not writer.is_closing() and not writer.quiet:
                writer.write(struct.pack("!H", len(octets)) + octets)
        writer.quiet = False            # after half of a frame, nothing else
        try:
            while True:
                wire = await reader.readexactly(struct.unpack("!H", await reader.readexactly(2))[0])
                mode = self.mode()
                frame = reply(wire)
                frame = struct.pack("!H", len(frame)) + frame
                if mode == "reset":
                    return writer.transport.abort()
                if mode == "fin":
                    return
                if mode == "half" and not self.tls:
                    writer.quiet = True
                    writer.write_eof()
                    return await asyncio.sleep(self.r.uniform(0, 1))
                if mode == "part":
                    writer.quiet = True
                    return writer.write(frame[:self.r.randrange(len(frame))])
                if mode == "nothing":
                    writer.write(b"\0\0")
                elif mode == "slowly":
                    writer.quiet = True
                    for i in range(len(frame)):
                        writer.write(frame[i:i + 1])
                        await asyncio.sleep(.002)
                    writer.quiet = False
                else:
                    for after, octets in self.messages(wire, mode):
                        self.later(after, send, octets)
        except (asyncio.IncompleteReadError, OSError):
            pass
        finally:
            writer.close()


class Judge:
    """What clients see. bad: what may not be."""

    def __init__(self):
        self.bad, self.took, self.codes = collections.Counter(), [], collections.Counter()

    def look(self, wire, edns, got, took, tcp):
        name, qtype, end = question(wire)
        self.took.append(took)
        if got[:2] != wire[:2] or got[12:end] != wire[12:end] or got[4:6] != b"\0\1":
            self.bad["the question is another"] += 1
            return
        try:
            m = dns.message.from_wire(got)
        except dns.exception.DNSException as e:
            self.bad[f"does not unpack: {e!r}"] += 1
            return
        self.codes[m.rcode()] += 1
        self.bad["EDNS"] += (m.edns >= 0) != edns
        self.bad["RD"] += (got[2] ^ wire[2]) & 1
        self.bad["longer than may be"] += not tcp and len(got) > (1232 if edns else 512)
        for rrset in m.answer:
            self.bad["the owner is another"] += rrset.name.to_wire().lower() != name.lower()
            self.bad["the data is another's"] += any(r.to_wire() != data_of(name, qtype) for r in rrset)


class Client(asyncio.DatagramProtocol):
    def __init__(self, judge):
        self.judge, self.waits, self.over = judge, {}, set()

    def datagram_received(self, got, _):
        ident = struct.unpack("!H", got[:2])[0]
        if ident not in self.waits:
            self.judge.bad["a second answer"] += 1
            return
        wire, edns, at = self.waits.pop(ident)
        self.judge.look(wire, edns, got, asyncio.get_running_loop().time() - at, False)


def query(r, ident, names, zones):
    edns = r.random() < .6
    name = mixed(wire_name(f"n{r.randrange(names)}.{r.choice(zones)}"), r)
    flags = (0x0100 if r.random() < .9 else 0) | r.choice((0, 0, 0, 0x10, 0x20))
    opt = b"\0" + struct.pack("!HHIH", 41, 1232, r.choice((0, 0, 0x8000)), 0) if edns else b""
    return struct.pack("!6H", ident, flags, 1, 0, 0, edns) + name + struct.pack("!HH", r.choice((A, A, AAAA, TXT, 15)), 1) + opt, edns


async def ask_udp(judge, r, port, total, a_second, names, zones):
    loop = asyncio.get_running_loop()
    transport, c = await loop.create_datagram_endpoint(lambda: Client(judge), remote_addr=("127.0.0.1", port))
    transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
    for ident in range(total):
        wire, edns = query(r, ident, names, zones)
        c.waits[ident] = wire, edns, loop.time()
        transport.sendto(wire)
        await asyncio.sleep(1 / a_second)
    end = loop.time() + 10
    while c.waits and loop.time() < end:
        await asyncio.sleep(.05)
    judge.bad["no answer"] += len(c.waits)
    await asyncio.sleep(.3)             # second answers
    transport.close()
    return total


async def ask_tcp(judge, r, port, connections, names, zones):
    loop, asked = asyncio.get_running_loop(), 0
    for _ in range(connections):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        waits = {}
        for ident in range(r.randrange(2, 20)):
            wire, edns = query(r, ident, names, zones)
            waits[ident] = wire, edns, loop.time()
            writer.write(struct.pack("!H", len(wire)) + wire)
        asked += len(waits)
        try:
            while waits:
                got = await asyncio.wait_for(reader.readexactly(struct.unpack("!H", await asyncio.wait_for(reader.readexactly(2), 10))[0]), 10)
                wire, edns, at = waits.pop(struct.unpack("!H", got[:2])[0])
                judge.look(wire, edns, got, loop.time() - at, True)
        except (asyncio.TimeoutError, asyncio.IncompleteReadError, OSError, KeyError) as e:
            judge.bad[f"over TCP: {e!r}"] += len(waits)
        writer.close()
    return asked

#!/usr/bin/env python3
"""A Kubernetes API server of our own for tests and benchmarks: list, watch and WatchList of the kinds that a DNS server reads, as
protobuf or JSON, with label selectors, pages, bookmarks, tokens, client certificates, and faults. HTTP/1.1, one thread a connection.

In a process:       with FakeAPI() as api: api.put("services", {...}); api.fault(do="drop", verb="watch"); … api.url
From the command:   fakeapi.py [--port N] [--tls DIR] [--token T] [--big SERVICES,ENDPOINTS]  prints {"url", "control"} and runs until
                    its standard input closes; POST CONTROL/METHOD with a JSON list of arguments (or an object of named ones) calls
                    the method.

Faults are taken in the order they were given, each `times` times (-1: for ever). do= one of
  status code=, retry_after=, reason=, text=   an HTTP error         error  code=, reason=, large=  an ERROR event in the stream
  hang       the request is never answered                           drop   the connection is closed, no answer
  reset      the same by RST                                         cut    bytes=: the connection ends within the body
  stall      bytes=: the body stops, the connection stays            slow   bytes=, delay=: the body comes in drops
  garbage    a body of noise                                         junk   noise instead of HTTP
  huge       a frame that says it is 4 GB                            nomark a WatchList whose end mark never comes
  end        the stream ends at once after what there is             type   type=: another Content-Type
  json       JSON in spite of the Accept header                      replay file=, form=: recorded bytes (fixtures/)
For a list or watch of res= (None: any), verb= list, watch, watchlist (None: any)."""
import argparse
import base64
import json
import os
import pathlib
import re
import socket
import ssl
import struct
import subprocess
import sys
import threading
import time
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import bigcluster
import k8spb

PROTO, JSON = "application/vnd.kubernetes.protobuf", "application/json"
KINDS = {   # plural: (path, apiVersion, kind, has protobuf)
    "services": ("/api/v1/", "v1", "Service", True),
    "namespaces": ("/api/v1/", "v1", "Namespace", True),
    "pods": ("/api/v1/", "v1", "Pod", True),
    "endpointslices": ("/apis/discovery.k8s.io/v1/", "discovery.k8s.io/v1", "EndpointSlice", True),
    "serviceimports": ("/apis/multicluster.x-k8s.io/v1alpha1/", "multicluster.x-k8s.io/v1alpha1", "ServiceImport", False),
}
CHUNK = 32 * 1024


def chunked(body):
    """The body in chunks of HTTP/1.1, without the last one."""
    out = []
    for i in range(0, len(body), CHUNK):
        part = body[i:i + CHUNK]
        out += [b"%x\r\n" % len(part), part, b"\r\n"]
    return b"".join(out)


def compact(data):
    return json.dumps(data, separators=(",", ":")).encode()


class Obj:
    """One version of an object; what it looks like on the wire is made when somebody asks for it."""
    __slots__ = ("key", "rv", "labels", "phase", "make", "raw")

    def __init__(self, key, rv, labels, phase, make, raw=None):
        self.key, self.rv, self.labels, self.phase, self.make, self.raw = key, rv, labels, phase, make, raw


class Resource:
    def __init__(self, name):
        self.name = name
        self.path, self.version, self.kind, self.has_proto = KINDS[name]
        self.objects = {}
        self.events = []        # (rv, type, Obj now, Obj before)
        self.trimmed = 0        # versions up to this one are forgotten
        self.cache = {}         # (form, selector) → (rv, chunked bytes of all objects)

    def proto(self, o):
        if o.raw is None:
            o.raw = k8spb.encode(self.kind, o.make())
        return o.raw

    def frame(self, kind, o, form):
        if form == "json":
            return compact({"type": kind, "object": {"kind": self.kind, "apiVersion": self.version, **o.make()}}) + b"\n"
        return k8spb.event(kind, k8spb.unknown(self.version, self.kind, self.proto(o)))

    def mark(self, rv, form, end):
        meta = {"resourceVersion": str(rv), **({"annotations": {"k8s.io/initial-events-end": "true"}} if end else {})}
        o = Obj(None, rv, {}, "", lambda: {"metadata": meta, **({} if self.name == "endpointslices" else {"spec": {}, "status": {}})})
        return self.frame("BOOKMARK", o, form)


class Selector:
    """Labels: a, !a, a=b, a==b, a!=b, a in (x,y), a notin (x). Fields: status.phase!=x only."""

    def __init__(self, labels, fields):
        self.terms = []
        for term in self.split(labels):
            for op in " notin ", " in ", "!=", "==", "=":
                if op in term:
                    key, value = term.split(op, 1)
                    self.terms.append((key.strip(), op.strip(), [v.strip() for v in value.strip(" ()").split(",")]))
                    break
            else:
                self.terms.append((term.strip(" !"), "absent" if term.startswith("!") else "present", []))
        self.not_phase = [f.split("!=")[1] for f in fields.split(",") if f.startswith("status.phase!=")]

    @staticmethod
    def split(text):
        depth, start = 0, 0
        for i, c in enumerate(text + ","):
            depth += (c == "(") - (c == ")")
            if c == "," and not depth:
                if text[start:i].strip():
                    yield text[start:i].strip()
                start = i + 1

    def match(self, o):
        for key, op, values in self.terms:
            have = o.labels.get(key)
            good = {"present": have is not None, "absent": have is None, "=": have in values, "==": have in values, "in": have in values,
                    "!=": have not in values, "notin": have not in values}[op]
            if not good:
                return False
        return o.phase not in self.not_phase or not o.phase


class Gone(Exception):
    """This connection is to be closed."""


class Request:
    def __init__(self, method, target, head):
        self.method, self.head = method, head
        at = urllib.parse.urlsplit(target)
        self.path, self.query = at.path, dict(urllib.parse.parse_qsl(at.query, keep_blank_values=True))
        self.labels, self.fields = self.query.get("labelSelector", ""), self.query.get("fieldSelector", "")
        self.rv = self.query.get("resourceVersion", "")
        watch = self.query.get("watch") in ("true", "1")
        self.verb = ("watchlist" if self.query.get("sendInitialEvents") == "true" else "watch") if watch else "list"


class FakeAPI:
    def __init__(self, port=0, tls=None, token=None, prefix=""):
        """tls: a folder that make_certificates() filled; clients with a certificate of its CA need no token."""
        self.resources = {name: Resource(name) for name in KINDS}
        self.rv, self.lock = 100000, threading.Condition()
        self.port, self.tls, self.token, self.prefix = port, tls, token, prefix
        self.faults, self.log, self.conns = [], [], set()
        self.watchlist = True           # False: as a server without the feature gate
        self.etcd = True                # False: the newest state cannot be had
        self.forbidden = set()
        self.crds = {"serviceimports"}
        self.bookmark_every = 60
        self.listener, self.generation, self.big = None, 0, None

    # ---- life ----

    def up(self):
        self.listener = socket.socket()
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind(("127.0.0.1", self.port))
        self.listener.listen(64)
        self.port = self.listener.getsockname()[1]
        context = None
        if self.tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(f"{self.tls}/server.crt", f"{self.tls}/server.key")
            context.load_verify_locations(f"{self.tls}/ca.crt")
            context.verify_mode = ssl.CERT_OPTIONAL
        threading.Thread(target=self.accept, args=(self.listener, context), daemon=True).start()

    def down(self):
        """The server dies: nothing listens, every connection is cut."""
        if self.listener:
            self.listener.shutdown(socket.SHUT_RDWR)
            self.listener.close()
            self.listener = None
        self.drop()

    def drop(self):
        """Cuts every connection."""
        with self.lock:
            self.generation += 1
            for c in self.conns:
                try:
                    c.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass
            self.lock.notify_all()

    def __enter__(self):
        self.up()
        return self

    def __exit__(self, *_):
        self.down()

    @property
    def url(self):
        return f"http{'s' if self.tls else ''}://127.0.0.1:{self.port}{self.prefix}"

    # ---- state ----

    def put(self, res, data):
        """Creates or replaces; data as in a manifest."""
        with self.lock:
            r = self.resources[res]
            meta = data.setdefault("metadata", {})
            key = meta.get("namespace", ""), meta["name"]
            self.rv += 1
            data = {**data, "metadata": {"uid": f"uid-{key[0]}-{key[1]}", "creationTimestamp": "2026-01-02T03:04:05Z", **meta,
                                         "resourceVersion": str(self.rv)}}
            self.store(r, Obj(key, self.rv, meta.get("labels") or {}, (data.get("status") or {}).get("phase", ""), lambda: data))
        return self.rv

    def store(self, r, o):
        before = r.objects.get(o.key)
        r.objects[o.key] = o
        r.events.append((o.rv, "MODIFIED" if before else "ADDED", o, before))
        self.lock.notify_all()

    def delete(self, res, name, ns=""):
        with self.lock:
            r = self.resources[res]
            old = r.objects.pop((ns, name))
            self.rv += 1
            data = json.loads(json.dumps(old.make()))
            data["metadata"]["resourceVersion"] = str(self.rv)
            r.events.append((self.rv, "DELETED", Obj(old.key, self.rv, old.labels, old.phase, lambda: data), old))
            self.lock.notify_all()

    def forget(self):
        """What happened until now is no longer in the event history (a restart, a compaction)."""
        with self.lock:
            for r in self.resources.values():
                r.events, r.trimmed = [], self.rv

    def restore(self, rv):
        """etcd came back from a backup: versions go on from an older one."""
        with self.lock:
            self.rv = rv
            for r in self.resources.values():
                r.events, r.trimmed, r.cache = [], 0, {}
                for o in r.objects.values():
                    o.rv = min(o.rv, rv)

    def bookmark(self):
        with self.lock:
            for r in self.resources.values():
                r.events.append((self.rv, "BOOKMARK", None, None))
            self.lock.notify_all()

    def fault(self, do, res=None, verb=None, times=1, **how):
        with self.lock:
            self.faults.append({"do": do, "res": res, "verb": verb, "times": times, **how})

    def heal(self):
        with self.lock:
            self.faults = []
            self.generation += 1        # what hangs or stalls ends
            self.lock.notify_all()

    def set(self, **what):
        """watchlist=, etcd=, token=, forbidden=[…], bookmark_every="""
        with self.lock:
            for key, value in what.items():
                if key not in ("watchlist", "etcd", "token", "forbidden", "crds", "bookmark_every"):
                    raise ValueError(key)
                setattr(self, key, value)

    def requests(self):
        with self.lock:
            return list(self.log)

    def load_big(self, services=10000, endpoints=100000, namespaces=100, headless=10, pods=0):
        """A benchmark's cluster (bigcluster.py)."""
        big = self.big = bigcluster.Big(services, endpoints // services, namespaces, headless, pods)
        with self.lock:
            for res in "namespaces", "services", "endpointslices", "pods":
                for i in range(big.count(res)):
                    self.big_put(res, i)
            for r in self.resources.values():
                r.events, r.trimmed = [], self.rv
        return self.rv

    def big_put(self, res, i, turn=0):
        self.rv += 1
        rv, big, r = self.rv, self.big, self.resources[res]
        labels = {"kubernetes.io/service-name": f"svc-{i:05d}"} if res == "endpointslices" else {}
        self.store(r, Obj(big.key(res, i), rv, labels, "Running" if res == "pods" else "", lambda: big.data(res, i, rv, turn), big.proto(res, i, rv, turn)))

    def churn(self, n, turn=1, rate=0):
        """n slice updates, each with a new set of addresses; rate: so many a second."""
        for i in range(n):
            with self.lock:
                self.big_put("endpointslices", i % self.big.services, turn + i // self.big.services)
            if rate:
                time.sleep(1 / rate)
        return self.rv

    # ---- connections ----

    def accept(self, listener, context):
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=self.connection, args=(sock, context), daemon=True).start()

    def connection(self, raw, context):
        with self.lock:
            self.conns.add(raw)
        try:
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock = context.wrap_socket(raw, server_side=True) if context else raw
            f = sock.makefile("rb")
            while True:
                line = f.readline(65536).decode("latin-1").split()
                if len(line) != 3:
                    return
                head = {}
                while (field := f.readline(65536).strip()):
                    name, _, value = field.decode("latin-1").partition(":")
                    head[name.lower()] = value.strip()
                self.answer(sock, Request(line[0], line[1], head))
        except (Gone, OSError, ValueError):
            pass
        finally:
            with self.lock:
                self.conns.discard(raw)
            try:
                raw.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            raw.close()

    def allowed(self, sock, q):
        if self.token is None or q.head.get("authorization") == "Bearer " + self.token:
            return True
        return self.tls and bool(sock.getpeercert())

    def answer(self, sock, q):
        entry = {"at": time.time(), "method": q.method, "path": q.path, "query": q.query, "headers": q.head, "verb": q.verb, "status": 200}
        with self.lock:
            self.log.append(entry)
        res = next((n for n, r in self.resources.items() if q.path == self.prefix + r.path + n), None)
        with self.lock:
            fault = next((f for f in self.faults if f["times"] and f["res"] in (None, res) and f["verb"] in (None, q.verb)), None)
            if fault:
                fault["times"] -= 1
        reply = Reply(self, sock, q, fault or {"do": ""}, entry)
        if fault and reply.instead():
            return
        if q.path in ("/readyz", "/livez"):
            reply.whole(200, "text/plain", b"ok")
        elif not self.allowed(sock, q):
            reply.status(401, "Unauthorized", "Unauthorized")
        elif one := re.fullmatch(re.escape(self.prefix) + "/api/v1/namespaces/([^/]+)/pods/([^/]+)", q.path):
            with self.lock:
                pod = self.resources["pods"].objects.get(one.groups())
            if pod:
                reply.whole(200, "application/json", json.dumps({"apiVersion": "v1", "kind": "Pod", **pod.make()}).encode())
            else:
                reply.status(404, f'pods "{one[2]}" not found', "NotFound")
        elif not res or (not self.resources[res].has_proto and res not in self.crds):
            reply.whole(404, "text/plain; charset=utf-8", b"404 page not found\n")
        elif res in self.forbidden:
            reply.status(403, f'{res} is forbidden: User "dns" cannot list resource "{res}" in API group "" at the cluster scope', "Forbidden")
        else:
            reply.form = "proto" if self.resources[res].has_proto and PROTO in q.head.get("accept", "") else "json"
            if fault and fault["do"] == "json":
                reply.form = "json"
            reply.list(self.resources[res]) if q.verb == "list" else reply.watch(self.resources[res])


class Reply:
    """One answer. Whatever it sends passes send(), where the faults sit that concern bytes."""

    def __init__(self, api, sock, q, fault, entry):
        self.api, self.sock, self.q, self.fault, self.entry = api, sock, q, fault, entry
        self.form = "proto" if PROTO in q.head.get("accept", "") else "json"
        self.sent, self.generation, self.in_body = 0, api.generation, False

    # ---- bytes ----

    def hang(self):
        with self.api.lock:
            while self.generation == self.api.generation:
                self.api.lock.wait(1)
        raise Gone

    def send(self, data):
        do = self.fault["do"]
        if not self.in_body or do not in ("cut", "stall", "slow"):
            self.sock.sendall(data)
            return
        if do == "slow":
            for i in range(0, len(data), self.fault.get("bytes", 7)):
                self.sock.sendall(data[i:i + self.fault.get("bytes", 7)])
                time.sleep(self.fault.get("delay", 0.001))
            return
        left = self.fault.get("bytes", 100) - self.sent
        self.sock.sendall(data[:left])
        self.sent += len(data[:left])
        if self.sent >= self.fault.get("bytes", 100):
            if do == "stall":
                self.hang()
            raise Gone

    def head(self, status, kind, extra=""):
        self.entry["status"] = status
        if self.fault["do"] == "type":
            kind = self.fault["type"]
        self.send(f"HTTP/1.1 {status} X\r\nContent-Type: {kind}\r\nDate: Fri, 02 Jan 2026 03:04:05 GMT\r\n{extra}\r\n".encode())
        self.in_body = True

    def whole(self, status, kind, body, extra=""):
        self.head(status, kind, f"Content-Length: {len(body)}\r\n{extra}")
        self.send(body)

    def status(self, code, message, reason, extra="", details=None):
        data = {"metadata": {}, "status": "Failure", "message": message, "reason": reason, "code": code}
        if details:
            data["details"] = details
        if self.form == "proto":
            self.whole(code, PROTO, k8spb.unknown("v1", "Status", k8spb.encode("Status", data)), extra)
        else:
            self.whole(code, JSON, compact({"kind": "Status", "apiVersion": "v1", **data}), extra)

    def error_event(self, code, message, reason, details=None):
        data = {"metadata": {}, "status": "Failure", "message": message, "reason": reason, "code": code}
        if details:
            data["details"] = details
        if self.form == "proto":
            self.piece(k8spb.event("ERROR", k8spb.unknown("v1", "Status", k8spb.encode("Status", data))))
        else:
            self.piece(compact({"type": "ERROR", "object": {"kind": "Status", "apiVersion": "v1", **data}}) + b"\n")
        self.last()

    def too_large(self, as_event):
        details = {"causes": [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}], "retryAfterSeconds": 1}
        text = f"Timeout: Too large resource version: {self.q.rv}, current: {self.api.rv}"
        if as_event:
            self.error_event(504, text, "Timeout", details)
        else:
            self.status(504, text, "Timeout", "Retry-After: 1\r\n", details)

    def piece(self, body):
        self.send(chunked(body))

    def last(self):
        self.send(b"0\r\n\r\n")

    # ---- faults that replace the answer ----

    def instead(self):
        """True: answered. Closing is by Gone."""
        f, do = self.fault, self.fault["do"]
        if do == "hang":
            self.hang()
        if do in ("drop", "reset"):
            if do == "reset":
                self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            raise Gone
        if do == "junk":
            self.sock.sendall(os.urandom(f.get("bytes", 3000)))
            raise Gone
        if do == "status":
            extra = f"Retry-After: {f['retry_after']}\r\n" if "retry_after" in f else ""
            if "text" in f:
                self.whole(f["code"], "text/plain; charset=utf-8", f["text"].encode(), extra)
            else:
                self.status(f["code"], f.get("message", "made up"), f.get("reason", "InternalError"), extra)
            return True
        if do in ("garbage", "huge", "replay", "error"):
            self.form = f.get("form", self.form)
            self.stream_head()
            if do == "error":
                if f.get("large"):
                    self.too_large(True)
                else:
                    self.error_event(f["code"], f.get("message", "made up"), f.get("reason", "InternalError"))
                return True
            path = pathlib.Path(__file__).parent / "fixtures" / f.get("file", "")
            self.piece({"garbage": lambda: os.urandom(f.get("bytes", 5000)), "huge": lambda: b"\xff\xff\xff\xf0" + b"x" * 5000,
                        "replay": path.read_bytes}[do]())
            self.last()
            return True
        return False

    # ---- list and watch ----

    def media(self, stream):
        return (PROTO + (";stream=watch" if stream else "")) if self.form == "proto" else JSON

    def stream_head(self):
        self.head(200, self.media(self.q.verb != "list"), "Transfer-Encoding: chunked\r\n")

    def list(self, r):
        q, api = self.q, self.api
        limit, cont = int(q.query.get("limit", 0)), q.query.get("continue", "")
        if q.rv not in ("", "0") and int(q.rv) > api.rv:
            return self.too_large(False)
        if q.rv == "" and not cont and not api.etcd:
            self.hang()
        with api.lock:
            rv, start = api.rv, ""
            if cont:
                rv, start = json.loads(base64.urlsafe_b64decode(cont))
                if rv < r.trimmed:
                    return self.status(410, "The provided continue parameter is too old", "Expired")
            select = Selector(q.labels, q.fields)
            found = sorted((f"{o.key[0]}/{o.key[1]}", o) for o in r.objects.values() if select.match(o))
        found = [(k, o) for k, o in found if k > start]
        page = found[:limit] if limit and q.rv != "0" else found
        more = len(found) - len(page)
        cont = base64.urlsafe_b64encode(json.dumps([rv, page[-1][0]]).encode()).decode() if more else ""
        if self.form == "proto":
            raw = k8spb.bytes_field(1, k8spb.list_meta(rv, cont, more or None))
            raw = b"".join([raw, *(k8spb.bytes_field(2, r.proto(o)) for _, o in page)])
            body = k8spb.unknown(r.version, r.kind + "List", raw)
        else:
            meta = {"resourceVersion": str(rv), **({"continue": cont, "remainingItemCount": more} if more else {})}
            items = [o.make() if r.has_proto else {"apiVersion": r.version, "kind": r.kind, **o.make()} for _, o in page]
            body = compact({"kind": r.kind + "List", "apiVersion": r.version, "metadata": meta, "items": items})
        self.stream_head()
        self.piece(body)
        self.last()

    def initial(self, r, select):
        """Everything, in chunks; kept until something changes."""
        key = self.form, self.q.labels, self.q.fields
        newest = max(r.trimmed, r.events[-1][0] if r.events else 0), len(r.events)
        if r.cache.get(key, (None,))[0] != newest:
            body = b"".join(r.frame("ADDED", o, self.form) for o in r.objects.values() if select.match(o))
            r.cache[key] = newest, chunked(body)
        return r.cache[key][1]

    def watch(self, r):
        q, api = self.q, self.api
        until = time.monotonic() + float(q.query.get("timeoutSeconds", 1800))
        select = Selector(q.labels, q.fields)
        if q.verb == "watchlist":
            match = q.query.get("resourceVersionMatch") == "NotOlderThan"
            if not api.watchlist or not match:
                why = ("sendInitialEvents is forbidden for watch unless the WatchList feature gate is enabled" if match else
                       "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan")
                return self.status(422, why, "Invalid")
            if q.rv == "" and not api.etcd:
                self.hang()
        ahead = q.rv not in ("", "0") and int(q.rv) > api.rv
        self.stream_head()
        if ahead and q.verb == "watchlist":
            return self.too_large(True)
        with api.lock:
            at, first = len(r.events), b""
            if q.verb == "watchlist":
                first = self.initial(r, select)
                if self.fault["do"] != "nomark":
                    first += chunked(r.mark(api.rv, self.form, True))
            elif not ahead and int(q.rv or 0) < r.trimmed:
                first = None
            elif not ahead:
                at = next((i for i, e in enumerate(r.events) if e[0] > int(q.rv or 0)), len(r.events))
        if first is None:
            return self.error_event(410, f"too old resource version: {q.rv} ({r.trimmed})", "Expired")
        self.send(first)
        if self.fault["do"] == "end":
            return self.last()
        if ahead or self.fault["do"] == "nomark":
            self.hang()
        self.follow(r, select, at, until)

    def follow(self, r, select, at, until):
        api, history = self.api, r.events
        marked = time.monotonic()
        while True:
            with api.lock:
                while len(history) <= at and history is r.events and self.generation == api.generation:
                    wait = min(until, marked + api.bookmark_every) - time.monotonic()
                    if wait <= 0:
                        break
                    api.lock.wait(wait)
                if self.generation != api.generation:
                    raise Gone
                if history is not r.events:     # forget(): what was there has been sent
                    news, history, at = history[at:], r.events, 0
                else:
                    news, at = history[at:], len(history)
                rv = api.rv
            out = b"".join(self.one(r, select, *e[1:], rv) for e in news)
            now = time.monotonic()
            if not out and now >= min(until, marked + api.bookmark_every):
                out, marked = r.mark(rv, self.form, False), now
            if out:
                self.piece(out)
            if now >= until:
                return self.last()

    def one(self, r, select, kind, now, before, rv):
        """An event as this watcher sees it: what leaves its selector is deleted for it."""
        if kind == "BOOKMARK":
            return r.mark(rv, self.form, False)
        was, fits = before is not None and select.match(before), kind != "DELETED" and select.match(now)
        if not was and not fits:
            return b""
        return r.frame("MODIFIED" if was and fits else "ADDED" if fits else "DELETED", now, self.form)


# ---- certificates, by the openssl program ----

def make_certificates(folder):
    """ca, server (127.0.0.1, localhost) and client certificates with keys, and another CA of the same name."""
    d = pathlib.Path(folder)
    d.mkdir(parents=True, exist_ok=True)

    def run(*args):
        subprocess.run(["openssl", *args], cwd=d, check=True, capture_output=True)

    for ca in "ca", "other":
        run("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", ca + ".key", "-out", ca + ".crt",
            "-subj", "/CN=test-ca", "-days", "30", "-addext", "basicConstraints=critical,CA:TRUE")
    for name, ext in (("server", "subjectAltName=DNS:localhost,IP:127.0.0.1\nextendedKeyUsage=serverAuth"),
                      ("client", "extendedKeyUsage=clientAuth")):
        run("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", name + ".key", "-out", name + ".csr",
            "-subj", "/CN=" + name)
        (d / (name + ".ext")).write_text(ext)
        run("x509", "-req", "-in", name + ".csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-days", "30", "-out",
            name + ".crt", "-extfile", name + ".ext")
    return str(d)


# ---- from the command line ----

class Control(BaseHTTPRequestHandler):
    METHODS = {"put", "delete", "forget", "restore", "bookmark", "fault", "heal", "set", "requests", "load_big", "churn", "up", "down", "drop"}

    def do_POST(self):
        name = self.path.strip("/")
        args = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))) or b"[]")
        try:
            if name not in self.METHODS:
                raise ValueError("no such method: " + name)
            method = getattr(self.server.api, name)
            code, out = 200, method(**args) if isinstance(args, dict) else method(*args)
        except Exception as e:      # told to whoever called
            code, out = 400, repr(e)
        body = json.dumps(out).encode()
        self.send_response(code)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def main():
    p = argparse.ArgumentParser(description="a fake Kubernetes API server")
    p.add_argument("--port", type=int, default=0)
    p.add_argument("--tls", help="folder with ca.crt, server.crt, server.key; made when it is not there")
    p.add_argument("--token")
    p.add_argument("--prefix", default="")
    p.add_argument("--big", help="SERVICES,ENDPOINTS", default="")
    a = p.parse_args()
    if a.tls and not pathlib.Path(a.tls, "server.crt").exists():
        make_certificates(a.tls)
    api = FakeAPI(a.port, a.tls, a.token, a.prefix)
    if a.big:
        api.load_big(*map(int, a.big.split(",")))
    api.up()
    control = ThreadingHTTPServer(("127.0.0.1", 0), Control)
    control.api = api
    threading.Thread(target=control.serve_forever, daemon=True).start()
    print(json.dumps({"url": api.url, "control": f"http://127.0.0.1:{control.server_port}", "pid": os.getpid()}), flush=True)
    while sys.stdin.read(1):
        pass


if __name__ == "__main__":
    main()

"""A CA that speaks ACME (RFC 8555), for tests: it checks every signature, nonce and URL, asks the DNS server under test for the TXT record, and
signs with an authority of its own. What it shall do wrong is set on it while it runs."""
import base64, datetime, hashlib, http.server, ipaddress, json, secrets, ssl, threading, time
import dns.message, dns.query, dns.rdatatype
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def unb64(text):
    assert "=" not in text and "+" not in text and "/" not in text, "not base64url without padding"
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


class Problem(Exception):
    def __init__(self, kind, detail, status=400, **headers):
        super().__init__(detail)
        self.kind, self.detail, self.status, self.headers = kind, detail, status, headers

    def document(self):
        return {"type": "urn:ietf:params:acme:error:" + self.kind, "detail": self.detail, "status": self.status}


def name_of(text):
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text)])


class FakeCA:
    """with FakeCA(dns_port) as ca: ca.url is the directory, ca.root_pem what its own TLS and its certificates lead to."""

    def __init__(self, dns_port=None, port=0, life_s=90 * 86400, tls=True, host="localhost"):
        self.dns_port, self.life_s, self.host, self.tls = dns_port, life_s, host, tls
        self.key, self.log, self.lock = ec.generate_private_key(ec.SECP256R1()), [], threading.RLock()
        self.serial = 1
        self.root = self.sign("Fake Root", self.key.public_key(), None, 3650 * 86400)
        self.root_pem = self.pem(self.root)
        self.nonces, self.accounts, self.orders, self.authz, self.certs = set(), {}, {}, {}, {}
        self.txt_seen, self.issued = [], []
        # what to do wrong, or slowly
        self.bad_nonces = 0             # so many good ones are refused
        self.refuse = {}                # resource -> Problem
        self.polls = 1                  # so often is an authorization or order still undecided when it is looked at
        self.retry_after = None
        self.no_nonce = False           # answers carry none: newNonce must be asked
        self.wrong_txt = False          # finds the record wanting, whatever it says
        self.fresh_tokens = False       # another one each time that an authorization is looked at
        self.garbage = {}               # resource -> bytes instead of JSON
        self.want_port = port

    def pem(self, cert):
        return cert.public_bytes(serialization.Encoding.PEM)

    def sign(self, subject, public, names, life_s, ca=None):
        self.serial += 1
        now = datetime.datetime.utcnow()
        b = (x509.CertificateBuilder().subject_name(name_of(subject)).issuer_name(name_of("Fake Root")).public_key(public)
             .serial_number(self.serial + secrets.randbits(32) * 1000)
             .not_valid_before(now - datetime.timedelta(seconds=1)).not_valid_after(now + datetime.timedelta(seconds=life_s))
             .add_extension(x509.BasicConstraints(ca=names is None, path_length=None), critical=True))
        if names is not None:
            b = b.add_extension(x509.SubjectAlternativeName(names), critical=False)
        return b.sign(self.key, hashes.SHA256())

    # ---- life ----

    def __enter__(self):
        ca = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def do_GET(self):
                ca.answer(self, None)

            do_HEAD = do_GET

            def do_POST(self):
                ca.answer(self, self.rfile.read(int(self.headers["content-length"])))

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_):
                pass

            def finish_request(self, request, client_address):
                if ca.tls:
                    request.settimeout(20)
                    request = ca.context.wrap_socket(request, server_side=True)
                super().finish_request(request, client_address)

        if self.tls:
            self.context = self.server_context()
        self.httpd = Server(("127.0.0.1", self.want_port), Handler)
        self.port = self.httpd.server_address[1]
        self.base = f"{'https' if self.tls else 'http'}://{self.host}:{self.port}"
        self.url = self.base + "/directory"
        threading.Thread(target=self.httpd.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.httpd.shutdown()
        self.httpd.server_close()

    def server_context(self):
        import tempfile
        key = ec.generate_private_key(ec.SECP256R1())
        cert = self.sign(self.host, key.public_key(), [x509.DNSName(self.host), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))], 86400)
        c = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        with tempfile.NamedTemporaryFile() as f:
            f.write(self.pem(cert) + key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                                                       serialization.NoEncryption()))
            f.flush()
            c.load_cert_chain(f.name)
        return c

    # ---- requests ----

    def answer(self, h, body):
        status, headers, out = 200, {}, b""
        resource = h.path.split("/")[1]
        try:
            with self.lock:
                self.log.append((time.time(), resource))
                if resource in self.refuse:
                    raise self.refuse[resource]
                status, headers, out = self.serve(h, resource, body)
        except Problem as p:
            status, headers, out = p.status, dict(p.headers), json.dumps(p.document()).encode()
            headers["content-type"] = "application/problem+json"
        except Exception as e:                  # whatever the client did wrong: the test looks at it
            status, out = 400, json.dumps({"type": "urn:ietf:params:acme:error:malformed", "detail": f"{type(e).__name__}: {e}"}).encode()
            with self.lock:
                self.log.append((time.time(), f"MALFORMED {resource} {e}"))
        if isinstance(out, (dict, list)):
            out = json.dumps(out).encode()
            headers.setdefault("content-type", "application/json")
        out = self.garbage.get(resource, out)
        h.send_response(status)
        if (not self.no_nonce and resource != "directory") or resource == "nonce":
            h.send_header("Replay-Nonce", self.nonce())
        for k, v in headers.items():
            h.send_header(k.replace("_", "-"), str(v))
        if status != 204:
            h.send_header("Content-Length", str(len(out)))
        h.end_headers()
        if status != 204:
            h.wfile.write(out)

    def nonce(self):
        n = secrets.token_urlsafe(16)
        with self.lock:
            self.nonces.add(n)
        return n

    def count(self, resource):
        with self.lock:
            return sum(1 for _, r in self.log if r == resource)

    def malformed(self):
        with self.lock:
            return [r for _, r in self.log if r.startswith("MALFORMED")]

    def verify(self, h, resource, body):
        """The payload and the account of a signed request; the rules of RFC 8555 §6."""
        assert h.headers["content-type"] == "application/jose+json", "content type"
        assert h.headers["user-agent"], "no user agent"
        jws = json.loads(body)
        assert set(jws) == {"protected", "payload", "signature"}, "members of the JWS"
        head = json.loads(unb64(jws["protected"]))
        assert head["alg"] == "ES256" and ("jwk" in head) != ("kid" in head), "header"
        assert head["url"] == self.base + h.path, f"url {head['url']} is not {self.base + h.path}"
        if head["nonce"] not in self.nonces:
            raise Problem("badNonce", "this nonce was never given out, or is used up")
        self.nonces.discard(head["nonce"])
        if "jwk" in head:
            assert resource == "account", "jwk where kid is wanted"
            jwk, account = head["jwk"], None
        else:
            account = self.accounts.get(head["kid"])
            if account is None:
                raise Problem("accountDoesNotExist", "no such account")
            jwk = account["jwk"]
        raw = unb64(jws["signature"])
        assert len(raw) == 64, "signature of another length"
        x, y = (int.from_bytes(unb64(jwk[c]), "big") for c in "xy")
        public = ec.EllipticCurvePublicNumbers(x, y, ec.SECP256R1()).public_key()
        try:
            public.verify(encode_dss_signature(int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big")),
                          (jws["protected"] + "." + jws["payload"]).encode(), ec.ECDSA(hashes.SHA256()))
        except InvalidSignature:
            raise AssertionError("the signature is wrong")
        if self.bad_nonces:
            self.bad_nonces -= 1
            raise Problem("badNonce", "not this one")
        return jwk, account, json.loads(unb64(jws["payload"])) if jws["payload"] else None

    def serve(self, h, resource, body):
        if resource == "directory":
            return 200, {}, {"newNonce": self.base + "/nonce", "newAccount": self.base + "/account", "newOrder": self.base + "/order",
                             "revokeCert": self.base + "/revoke", "keyChange": self.base + "/key"}
        if resource == "nonce":
            return 204, {}, b""
        jwk, account, payload = self.verify(h, resource, body)
        return getattr(self, "do_" + resource)(h, jwk, account, payload)

    def slow(self, headers=None):
        headers = dict(headers or {})
        if self.retry_after is not None:
            headers["Retry-After"] = self.retry_after
        return headers

    def do_account(self, h, jwk, account, payload):
        assert payload["termsOfServiceAgreed"] is True, "terms"
        text = json.dumps({k: jwk[k] for k in ("crv", "kty", "x", "y")}, separators=(",", ":"))
        thumb = b64(hashlib.sha256(text.encode()).digest())
        url = f"{self.base}/acct/{thumb[:8]}"
        new = url not in self.accounts
        self.accounts.setdefault(url, {"jwk": jwk, "thumb": thumb, "contact": payload.get("contact", [])})
        return 201 if new else 200, {"Location": url}, {"status": "valid", "contact": payload.get("contact", [])}

    def do_order(self, h, jwk, account, payload):
        name = payload["identifiers"][0]["value"]
        assert len(payload["identifiers"]) == 1 and payload["identifiers"][0]["type"] == "dns", "identifiers"
        n = str(len(self.orders) + 1)
        self.orders[n] = {"name": name, "status": "pending", "account": account, "polls": self.polls, "authz": n}
        self.authz[n] = {"name": name.removeprefix("*."), "status": "pending", "token": b64(secrets.token_bytes(24)), "challenge": "pending",
                         "polls": self.polls, "account": account, "order": n, "wildcard": name.startswith("*.")}
        return 201, {"Location": f"{self.base}/o/{n}"}, self.order_json(n)

    def order_json(self, n):
        o = self.orders[n]
        out = {"status": o["status"], "identifiers": [{"type": "dns", "value": o["name"]}], "authorizations": [f"{self.base}/authz/{n}"],
               "finalize": f"{self.base}/finalize/{n}"}
        if o["status"] == "valid":
            out["certificate"] = f"{self.base}/cert/{n}"
        return out

    def do_o(self, h, jwk, account, payload):
        assert payload is None, "not POST-as-GET"
        n = h.path.split("/")[2]
        o = self.orders[n]
        if o["status"] == "processing":
            o["polls"] -= 1
            if o["polls"] < 0:
                o["status"] = "valid"
        return 200, self.slow(), self.order_json(n)

    def do_authz(self, h, jwk, account, payload):
        assert payload is None, "not POST-as-GET"
        n = h.path.split("/")[2]
        a = self.authz[n]
        if a["challenge"] == "processing":
            a["polls"] -= 1
            if a["polls"] < 0:
                self.decide(n)
        if self.fresh_tokens:
            a["token"] = b64(secrets.token_bytes(24))
        challenge = {"type": "dns-01", "url": f"{self.base}/challenge/{n}", "token": a["token"], "status": a["challenge"]}
        if a.get("error"):
            challenge["error"] = a["error"]
        out = {"status": a["status"], "identifier": {"type": "dns", "value": a["name"]},
               "challenges": [{"type": "http-01", "url": f"{self.base}/http/{n}", "token": a["token"], "status": "pending"}, challenge]}
        return 200, self.slow(), out

    def do_challenge(self, h, jwk, account, payload):
        assert payload == {}, "payload of a challenge"
        n = h.path.split("/")[2]
        self.authz[n]["challenge"] = "processing"
        return 200, {}, {"type": "dns-01", "url": self.base + h.path, "token": self.authz[n]["token"], "status": "processing"}

    def ask(self, name):
        """(TXT texts, the answer) of the server under test."""
        q = dns.message.make_query(name, "TXT")
        r = dns.query.udp(q, "127.0.0.1", port=self.dns_port, timeout=20)
        return [s.decode() for rr in r.answer if rr.rdtype == dns.rdatatype.TXT for one in rr for s in one.strings], r

    def decide(self, n):
        a = self.authz[n]
        want = b64(hashlib.sha256(f"{a['token']}.{a['account']['thumb']}".encode()).digest())
        name = "_acme-challenge." + a["name"] + "."
        try:
            got, reply = self.ask(name)
        except Exception as e:
            got, reply = [], None
        self.txt_seen.append((name, got, want, reply))
        good = want in got and not self.wrong_txt
        a["challenge"] = a["status"] = "valid" if good else "invalid"
        self.orders[n]["status"] = "ready" if good else "invalid"
        if not good:
            a["error"] = {"type": "urn:ietf:params:acme:error:unauthorized", "status": 403,
                          "detail": f"No TXT record that is right found at {name[:-1]}"}

    def do_finalize(self, h, jwk, account, payload):
        n = h.path.split("/")[2]
        o = self.orders[n]
        if o["status"] != "ready":
            raise Problem("orderNotReady", "the order is " + o["status"], 403)
        csr = x509.load_der_x509_csr(unb64(payload["csr"]))
        assert csr.is_signature_valid, "the request's own signature"
        names = csr.extensions.get_extension_for_class(x509.SubjectAlternativeName).value.get_values_for_type(x509.DNSName)
        if names != [o["name"]]:
            raise Problem("badCSR", f"names {names}, not {o['name']}")
        cert = self.sign(o["name"], csr.public_key(), [x509.DNSName(o["name"])], self.life_s)
        self.certs[n] = self.pem(cert) + self.root_pem
        self.issued.append((o["name"], cert.serial_number))
        o["status"] = "processing"
        return 200, self.slow({"Location": f"{self.base}/o/{n}"}), self.order_json(n)

    def do_cert(self, h, jwk, account, payload):
        assert payload is None, "not POST-as-GET"
        return 200, {"content-type": "application/pem-certificate-chain"}, self.certs[h.path.split("/")[2]]

"""Certificates for a test, and clients of encrypted listeners: frames over TLS, HTTP/2 by hand."""
import datetime, ipaddress, socket, ssl
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID


class Authority:
    """A root of its own; issue() makes certificates signed by it."""

    def __init__(self, name="Test Root"):
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.cert = self._build(self.name, self.key, True, None)

    def _build(self, subject, key, ca, usage):
        now = datetime.datetime.utcnow()
        b = (x509.CertificateBuilder().subject_name(subject).issuer_name(self.name).public_key(key.public_key())
             .serial_number(x509.random_serial_number()).not_valid_before(now - datetime.timedelta(days=1))
             .not_valid_after(now + datetime.timedelta(days=30))
             .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True))
        if usage:
            b = b.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
            b = b.add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost"), x509.IPAddress(
                ipaddress.ip_address("127.0.0.1"))]), critical=False)
        return b.sign(self.key, hashes.SHA256())

    def issue(self, name, client=False, key=None):
        """(certificate, key) in PEM, as bytes."""
        key = key or ec.generate_private_key(ec.SECP256R1())
        usage = ExtendedKeyUsageOID.CLIENT_AUTH if client else ExtendedKeyUsageOID.SERVER_AUTH
        cert = self._build(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]), key, False, usage)
        pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        return cert.public_bytes(serialization.Encoding.PEM), pem

    def pem(self):
        return self.cert.public_bytes(serialization.Encoding.PEM)


def put(folder, name, cert, key):
    """Replaces NAME.pem and NAME.key, each in one step."""
    for ext, text in (("pem", cert), ("key", key)):
        new = folder / f".{name}.{ext}"
        new.write_bytes(text)
        new.rename(folder / f"{name}.{ext}")


def context(ca=None, alpn=(), client=None, version=None):
    c = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    c.check_hostname = ca is not None
    c.verify_mode = ssl.CERT_REQUIRED if ca else ssl.CERT_NONE
    if ca:
        c.load_verify_locations(cadata=ca.decode())
    if alpn:
        c.set_alpn_protocols(list(alpn))
    if client:
        c.load_cert_chain(*map(str, client))
    if version:
        c.minimum_version = c.maximum_version = version
    return c


def connect(port, ctx, timeout=60, **kw):
    s = socket.create_connection(("127.0.0.1", port), timeout)
    try:
        return ctx.wrap_socket(s, server_hostname="localhost", **kw)
    except BaseException:
        s.close()
        raise


def framed(*messages):
    return b"".join(len(m).to_bytes(2, "big") + m for m in messages)

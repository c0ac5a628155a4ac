"""A certification authority for a test, and certificates of it, as PEM files in a folder."""
import datetime, ipaddress, pathlib
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec


def _name(text):
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text)])


class Authority:
    def __init__(self, folder, name="ca"):
        self.folder, self.count = pathlib.Path(folder), 1
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.cert = self._sign(name, self.key, None, [], 30)
        self.ca = self._write(f"{name}.pem", self.cert.public_bytes(serialization.Encoding.PEM))

    def _write(self, name, data):
        path = self.folder / name
        path.write_bytes(data)
        return str(path)

    def _sign(self, name, key, issuer, names, days):
        self.count += 1
        now = datetime.datetime.utcnow()
        b = x509.CertificateBuilder().subject_name(_name(name)).issuer_name(issuer.subject if issuer else _name(name))
        b = b.public_key(key.public_key()).serial_number(self.count)
        b = b.not_valid_before(now - datetime.timedelta(days=60)).not_valid_after(now + datetime.timedelta(days=days))
        b = b.add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
        if names:
            b = b.add_extension(x509.SubjectAlternativeName(names), critical=False)
        return b.sign(self.key, hashes.SHA256())

    def issue(self, name, addresses=("127.0.0.1",), days=30):
        """(certificate, key) for a name and addresses; days < 0: it has expired."""
        key = ec.generate_private_key(ec.SECP256R1())
        names = [x509.DNSName(name)] + [x509.IPAddress(ipaddress.ip_address(a)) for a in addresses]
        cert = self._sign(name, key, self.cert, names, days)
        pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        stem = f"{name}-{self.count}"
        return self._write(stem + ".pem", cert.public_bytes(serialization.Encoding.PEM)), self._write(stem + ".key", pem)

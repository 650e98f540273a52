# SPDX-License-Identifier: ISC
"""Certificates for the tests, made with the openssl command.

    authority = Authority(directory)
    leaf = authority.issue("mx.far.example")     # leaf.cert, leaf.key: PEM files; leaf.chain: certificate and authority
    context = leaf.server_context()              # for Python's ssl
"""
import hashlib
import ssl
import subprocess
from pathlib import Path


def _openssl(*arguments, input=None):
    return subprocess.run(["openssl", *map(str, arguments)], input=input, capture_output=True, check=True, timeout=60).stdout


class Leaf:
    def __init__(self, cert, key, authority):
        self.cert, self.key, self.authority = Path(cert), Path(key), authority
        self.chain = self.cert.with_suffix(".chain")
        self.chain.write_bytes(self.cert.read_bytes() + (authority.cert.read_bytes() if authority else b""))

    def server_context(self, asks=None):
        """asks: an authority whose clients may show certificates."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.chain, self.key)
        if asks:
            context.load_verify_locations(asks.cert)
            context.verify_mode = ssl.CERT_OPTIONAL
        return context

    @property
    def der(self):
        return ssl.PEM_cert_to_DER_cert(self.cert.read_text())

    @property
    def public_key(self):
        pem = _openssl("x509", "-in", self.cert, "-noout", "-pubkey")
        return _openssl("pkey", "-pubin", "-outform", "DER", input=pem)

    @property
    def fingerprint(self):
        return _colons(hashlib.sha256(self.der).hexdigest())

    @property
    def key_fingerprint(self):
        return _colons(hashlib.sha256(self.public_key).hexdigest())

    def tlsa(self, usage=3, selector=1, matching=1):
        """The data of a TLSA record that this certificate fits; usage 2 takes the authority's."""
        subject = self.authority if usage == 2 else self
        data = subject.public_key if selector == 1 else subject.der
        digest = {0: lambda d: d, 1: lambda d: hashlib.sha256(d).digest(), 2: lambda d: hashlib.sha512(d).digest()}
        return bytes([usage, selector, matching]) + digest[matching](data)


def _colons(text):
    return ":".join(text[i:i + 2] for i in range(0, len(text), 2)).upper()


class Authority(Leaf):
    def __init__(self, directory, name="Test Authority"):
        self.directory = Path(directory)
        self.directory.mkdir(parents=True, exist_ok=True)
        cert, key = self.directory / "ca.pem", self.directory / "ca.key"
        _openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", key, "-out",
                 cert, "-days", "30", "-subj", f"/CN={name}", "-addext", "basicConstraints=critical,CA:TRUE")
        super().__init__(cert, key, None)
        self._made = 0

    def issue(self, *names, days=20):
        """A leaf for these DNS names; the first is its common name. Negative days: it has expired."""
        self._made += 1
        base = self.directory / f"leaf{self._made}"
        key, cert, request, extensions = (base.with_suffix(s) for s in (".key", ".pem", ".csr", ".ext"))
        extensions.write_text("subjectAltName=" + ",".join(f"DNS:{name}" for name in names) + "\n")
        _openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", key, "-out", request,
                 "-subj", f"/CN={names[0]}")
        _openssl("x509", "-req", "-in", request, "-CA", self.cert, "-CAkey", self.key, "-CAcreateserial", "-out", cert,
                 "-days", days, "-extfile", extensions)
        return Leaf(cert, key, self)


class Identity:
    """A certificate of any kind of key, with its files where a configuration finds them: NAME.key and NAME.pem in `folder`: a certificate for `name`, signed by itself or by another identity."""

    def __init__(self, folder, name, kind="ec", signer=None, days=90, usage=None, label=None, padding=0, subject=None):
        folder = Path(folder)
        self.name = name
        label = label or name.strip("*.")
        self.key, self.cert = folder / f"{label}.key", folder / f"{label}.pem"
        self.both = folder / f"{label}.both.pem"
        if kind == "rsa":
            _openssl("genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", self.key)
        elif kind == "ec":
            _openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", self.key)
        else:
            _openssl("genpkey", "-algorithm", kind, "-out", self.key)
        self.key.chmod(0o600)
        names = ",".join([f"DNS:{name}", *(f"DNS:x{i}.{'y' * 40}.example" for i in range(padding))])
        extensions = folder / f"{label}.ext"
        extensions.write_text(f"subjectAltName={names}\nbasicConstraints=critical,CA:{'TRUE' if signer is None else 'FALSE'}\n"
                              + (f"extendedKeyUsage={usage}\n" if usage else ""), encoding="ascii")
        request = folder / f"{label}.csr"
        _openssl("req", "-new", "-key", self.key, "-utf8", "-subj", subject or f"/CN={name}", "-out", request)
        sign = ["-signkey", self.key] if signer is None else ["-CA", signer.cert, "-CAkey", signer.key, "-CAcreateserial"]
        _openssl("x509", "-req", "-in", request, *sign, "-days", days, "-extfile", extensions, "-out", self.cert)
        self.both.write_bytes(self.key.read_bytes() + self.cert.read_bytes())
        self.both.chmod(0o600)

    def fingerprint(self, what="sha256"):
        """As log lines and access tables have it: "AB:CD:…"."""
        text = _openssl("x509", "-in", self.cert, "-noout", "-fingerprint", f"-{what}").decode()
        return text.strip().split("=", 1)[1]

    def replace(self, other):
        """The files of `other` take the place of these, as a renewal does it: each at once, the certificate first."""
        for new, old in ((other.cert, self.cert), (other.key, self.key), (other.both, self.both)):
            staged = old.with_suffix(".new")
            staged.write_bytes(new.read_bytes())
            staged.chmod(0o600)
            staged.rename(old)

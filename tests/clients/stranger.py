"""A responder that knows all certificates of the CAs and says good of each, by a key that none of them gave the right to:
what every client must refuse. Arguments: the folder of the CAs, and their names."""

import base64
import datetime
import http.server
import pathlib
import sys
import urllib.parse

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509 import ocsp

folder = pathlib.Path(sys.argv[1])
now = datetime.datetime.utcnow().replace(microsecond=0)
name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "responder")])


def of(key):
    """A key and its certificate, which it signed itself."""
    until = now + datetime.timedelta(9)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now, until)
    usage = x509.ExtendedKeyUsage([x509.ExtendedKeyUsageOID.OCSP_SIGNING])
    return key, builder.add_extension(usage, False).sign(key, hashes.SHA256())


# Of the kind of the CA's, so that it is the signature that is wrong.
kinds = {"rsa": of(rsa.generate_private_key(65537, 2048)), "p256": of(ec.generate_private_key(ec.SECP256R1()))}


def read(path):
    return x509.load_pem_x509_certificate(path.read_bytes())


def answer(octets):
    request = ocsp.load_der_ocsp_request(octets)
    for ca in sys.argv[2:]:
        issuer = read(folder / ca / "ca.crt")
        key, certificate = kinds[ca.split("-")[0]]
        for path in (folder / ca).glob("*.crt"):
            subject = read(path)
            if subject.serial_number != request.serial_number:
                continue
            status = ocsp.OCSPCertStatus.GOOD
            until = now + datetime.timedelta(1)
            builder = ocsp.OCSPResponseBuilder(extensions=list(request.extensions))
            builder = builder.add_response(subject, issuer, request.hash_algorithm, status, now, until, None, None)
            builder = builder.responder_id(ocsp.OCSPResponderEncoding.HASH, certificate).certificates([certificate])
            return builder.sign(key, hashes.SHA256())
    return ocsp.OCSPResponseBuilder.build_unsuccessful(ocsp.OCSPResponseStatus.UNAUTHORIZED)


class Handler(http.server.BaseHTTPRequestHandler):
    def say(self, request):
        body = answer(request).public_bytes(serialization.Encoding.DER)
        self.send_response(200)
        self.send_header("Content-Type", "application/ocsp-response")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        self.say(base64.b64decode(urllib.parse.unquote(self.path.lstrip("/"))))

    def do_POST(self):
        self.say(self.rfile.read(int(self.headers["Content-Length"])))


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(f"listening on http://127.0.0.1:{server.server_port}/", flush=True)
server.serve_forever()

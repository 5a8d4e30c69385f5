"""Python's `cryptography`: builds the requests, parses the answers, and verifies their signatures. Arguments as in
report.sh; a URL that is "-" is not asked."""

import base64
import os
import sys
import urllib.parse
import urllib.request

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.x509 import ocsp

own, default, unknown, stranger, *authorities = sys.argv[1:]
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def read(path):
    with open(path, "rb") as file:
        return x509.load_pem_x509_certificate(file.read())


def verify(key, signature, octets, algorithm):
    if isinstance(key, ec.EllipticCurvePublicKey):
        key.verify(signature, octets, ec.ECDSA(algorithm))
    else:
        key.verify(signature, octets, padding.PKCS1v15(), algorithm)


def signer(response, issuer):
    """The key that must have signed: the issuer's own, or that of its delegate, whose certificate came along."""
    if not response.certificates:
        return issuer.public_key()
    [delegate] = response.certificates
    assert delegate.issuer == issuer.subject
    verify(
        issuer.public_key(), delegate.signature, delegate.tbs_certificate_bytes, delegate.signature_hash_algorithm
    )
    usage = delegate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert x509.ExtendedKeyUsageOID.OCSP_SIGNING in usage
    delegate.extensions.get_extension_for_class(x509.OCSPNoCheck)
    return delegate.public_key()


def ask(url, ca, name, algorithm, nonce=None, get=False):
    issuer = read(f"{ca}/ca.crt")
    builder = ocsp.OCSPRequestBuilder().add_certificate(read(f"{ca}/{name}.crt"), issuer, algorithm)
    if nonce:
        builder = builder.add_extension(x509.OCSPNonce(nonce), False)
    request = builder.build()
    octets = request.public_bytes(serialization.Encoding.DER)
    if get:
        message = urllib.request.Request(url + urllib.parse.quote(base64.b64encode(octets), safe=""))
    else:
        message = urllib.request.Request(url, octets, {"Content-Type": "application/ocsp-request"})
    with opener.open(message, timeout=20) as answer:
        assert answer.headers["Content-Type"] == "application/ocsp-response", answer.headers
        response = ocsp.load_der_ocsp_response(answer.read())
    if response.response_status != ocsp.OCSPResponseStatus.SUCCESSFUL:
        return response
    key = signer(response, issuer)
    verify(key, response.signature, response.tbs_response_bytes, response.signature_hash_algorithm)
    assert response.responder_name is None
    assert response.responder_key_hash == x509.SubjectKeyIdentifier.from_public_key(key).digest
    for field in ("serial_number", "issuer_key_hash", "issuer_name_hash"):
        assert getattr(response, field) == getattr(request, field), field
    assert response.hash_algorithm.name == request.hash_algorithm.name == algorithm.name
    assert response.this_update <= response.produced_at < response.next_update
    found = [extension.value.nonce for extension in response.extensions if isinstance(extension.value, x509.OCSPNonce)]
    assert found == ([nonce] if nonce else []), found
    return response


def expect(response, status):
    assert response.response_status == ocsp.OCSPResponseStatus.SUCCESSFUL, response.response_status
    assert response.certificate_status == status, response.certificate_status


def good(ca):
    expect(ask(default, ca, "good", hashes.SHA1()), ocsp.OCSPCertStatus.GOOD)


def revoked(ca):
    response = ask(default, ca, "revoked", hashes.SHA1())
    expect(response, ocsp.OCSPCertStatus.REVOKED)
    assert response.revocation_reason == x509.ReasonFlags.key_compromise, response.revocation_reason
    assert response.revocation_time <= response.this_update


def unauthorized(ca):
    response = ask(default, ca, "unlisted", hashes.SHA1())
    assert response.response_status == ocsp.OCSPResponseStatus.UNAUTHORIZED, response.response_status


def says_unknown(ca):
    expect(ask(unknown, ca, "unlisted", hashes.SHA1()), ocsp.OCSPCertStatus.UNKNOWN)


def nonce(ca):
    for length in (1, 16, 32, 128):
        expect(ask(default, ca, "good", hashes.SHA1(), os.urandom(length)), ocsp.OCSPCertStatus.GOOD)


def get(ca):
    for algorithm in (hashes.SHA1(), hashes.SHA256()):
        expect(ask(default, ca, "good", algorithm, get=True), ocsp.OCSPCertStatus.GOOD)
        expect(ask(default, ca, "revoked", algorithm, get=True), ocsp.OCSPCertStatus.REVOKED)
    expect(ask(default, ca, "good", hashes.SHA1(), os.urandom(32), get=True), ocsp.OCSPCertStatus.GOOD)


def sha256(ca):
    expect(ask(default, ca, "good", hashes.SHA256()), ocsp.OCSPCertStatus.GOOD)
    expect(ask(default, ca, "revoked", hashes.SHA256()), ocsp.OCSPCertStatus.REVOKED)


def refuses(ca):
    try:
        ask(stranger, ca, "good", hashes.SHA1())
    except Exception:  # a signature that is wrong, or a name
        return
    raise AssertionError("another CA's answer was taken")


cases = {
    "good": good,
    "revoked": revoked,
    "unauthorized": unauthorized,
    "unknown": says_unknown,
    "nonce": nonce,
    "get": get,
    "sha256": sha256,
}
if stranger != "-":
    cases["stranger"] = refuses
print("n-a\t*\tseveral\tits requests are about one certificate")
for authority in authorities:
    for case, asks in cases.items():
        try:
            asks(authority)
            print(f"ok\t{authority}\t{case}\t")
        except Exception as error:
            print(f"FAILED\t{authority}\t{case}\t{type(error).__name__}: {error}".replace("\n", " "))

"""`pkilint`, which reads answers and asks nothing: `openssl ocsp` fetches them, and verifies them before they are judged.
Nothing that pkilint knows to find may be found. Arguments as in report.sh."""

import contextlib
import io
import os
import re
import subprocess
import sys

from pkilint.bin import lint_ocsp_response

own, default, unknown, stranger, *authorities = sys.argv[1:]
extended = os.environ["extended"]
# The numbers of reasons: index.txt has a serial for each, 0x1000 and the number.
reasons = [int(reason.split(":")[0]) for reason in os.environ["reasons"].split()]


def fetch(url, ca, about, *texts):
    """Fetches an answer of which openssl says all these texts, and returns its octets."""
    path = f"{own}/fetched"
    command = ["openssl", "ocsp", "-CAfile", f"{ca}/ca.crt", "-url", url, "-resp_text", "-respout", path, *about]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20)
    said = done.stderr + done.stdout.split("    Signature Algorithm:")[0]
    for text in texts:
        assert text in said, f'"{text}" was expected in: {said}'
    with open(path, "rb") as file:
        return file.read()


def lint(octets):
    """What is found in an answer, from the lowest severity on: lines of where, what found it, severity, code, text."""
    path = f"{own}/answer"
    with open(path, "wb") as file:
        file.write(octets)
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        lint_ocsp_response.main(["lint", "--document-format", "DER", "-s", "ALL", "-f", "CSV", path])
    header, *found = said.getvalue().strip().splitlines()
    assert header.startswith("node_path,"), header
    return found


def clean(url, ca, about, *texts):
    octets = fetch(url, ca, about, *texts)
    found = lint(octets)
    assert not found, found
    return octets


def about(ca, *names, hashed="-sha1", nonce="-no_nonce"):
    """What tells openssl of which certificates it is to ask: names of files, or serials."""
    words = [nonce, hashed, "-issuer", f"{ca}/ca.crt"]
    for name in names:
        words += ["-serial", name] if name.startswith("0x") else ["-cert", f"{ca}/{name}.crt"]
    return words


verified = "Response verify OK"


def good(ca):
    clean(extended, ca, about(ca, "good"), verified, "Cert Status: good", "OCSP Archive Cutoff")
    octets = clean(default, ca, about(ca, "good"), verified, "Cert Status: good")
    # That it finds what is wrong: a nextUpdate before thisUpdate, and a status that there is not.
    wrong, count = re.subn(rb"\xa0\x11\x18\x0f\d{14}Z", b"\xa0\x11\x18\x0f19700101000000Z", octets)
    assert count == 1, count
    for octets, code in (wrong, "ocsp_negative_validity_period"), (b"\x30\x03\x0a\x01\x04", "ocsp_response_status_code_4"):
        [found] = lint(octets)
        assert f"ERROR,pkix.{code}" in found, found


def revoked(ca):
    clean(default, ca, about(ca, "revoked"), verified, "Cert Status: revoked", "Reason: keyCompromise")
    for reason in reasons:
        octets = clean(default, ca, about(ca, hex(0x1000 + reason)), verified, "Cert Status: revoked")
        # A CRLReason in a RevokedInfo, RFC 6960 section 4.2.1; openssl has no names for some. None where unspecified.
        assert re.findall(rb"Z\xa0\x03\x0a\x01(.)", octets, re.DOTALL) == ([bytes([reason])] if reason else []), reason
    # As if it had never been issued, RFC 6960 section 2.2, with the extension extended-revoke: NULL, not critical.
    never = "Revocation Reason: certificateHold (", "Revocation Time: Jan  1 00:00:00 1970 GMT"
    octets = clean(extended, ca, about(ca, "unlisted"), verified, "Cert Status: revoked", *never)
    assert bytes.fromhex("06 09 2b0601050507300109 04 02 0500") in octets


def unauthorized(ca):
    clean(default, ca, about(ca, "unlisted"), "Responder Error: unauthorized (6)")


def says_unknown(ca):
    clean(unknown, ca, about(ca, "unlisted"), verified, "Cert Status: unknown")


def nonce(ca):
    clean(default, ca, about(ca, "good", nonce="-nonce"), verified, "Cert Status: good", "OCSP Nonce")


def sha256(ca):
    clean(default, ca, about(ca, "good", hashed="-sha256"), verified, "Cert Status: good", "Hash Algorithm: sha256")


def several(ca):
    names = "good", "revoked", "unlisted"
    texts = [f"Cert Status: {status}" for status in ("good", "revoked", "unknown")]
    clean(default, ca, about(ca, *names, nonce="-nonce"), verified, *texts, "OCSP Nonce")


cases = {
    "good": good,
    "revoked": revoked,
    "unauthorized": unauthorized,
    "unknown": says_unknown,
    "nonce": nonce,
    "sha256": sha256,
    "several": several,
}
print("n-a\t*\tget\tit asks nothing, and reads answers")
print("n-a\t*\tstranger\tit verifies no signature")
for authority in authorities:
    for case, asks in cases.items():
        try:
            asks(authority)
            print(f"ok\t{authority}\t{case}\t")
        except Exception as error:
            text = " | ".join(f"{type(error).__name__}: {error}".split("\n"))
            print(f"FAILED\t{authority}\t{case}\t" + text.replace("\t", " "))

# GnuTLS' `ocsptool`.
. "$here/report.sh"

without get "it asks by POST only"
without sha256 "it hashes by SHA-1 only"
without several "it asks about one certificate"
for ca; do
    # Where the CA signs itself, GnuTLS wants it named.
    trust=--load-signer=$ca/ca.crt
    [ ! -e "$ca/responder.crt" ] || trust=--load-trust=$ca/ca.crt
    ask() {
        timeout 20 ocsptool "--ask=$1" "$3" "--load-cert=$ca/$2.crt" "--load-issuer=$ca/ca.crt" "$trust" 2>&1 || true
    }
    verified="Verifying OCSP Response: Success"
    look "$ca" good "$(ask "$default" good --no-nonce)" "Certificate Status: good" "$verified" "!Nonce:"
    look "$ca" revoked "$(ask "$default" revoked --no-nonce)" "Certificate Status: revoked" "$verified"
    look "$ca" unauthorized "$(ask "$default" unlisted --no-nonce)" "Response Status: unauthorized"
    look "$ca" unknown "$(ask "$unknown" unlisted --no-nonce)" "Certificate Status: unknown" "$verified"
    look "$ca" nonce "$(ask "$default" good --nonce)" "Certificate Status: good" "$verified" "Nonce:"
    look "$ca" stranger "$(ask "$stranger" good --no-nonce)" "Verifying OCSP Response: Failure" "!$verified"
done

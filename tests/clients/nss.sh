# NSS: `ocspclnt`, and `vfychain -pp`, which is libpkix and has an OCSP client of its own.
. "$here/report.sh"

without nonce "it sends no nonce"
without sha256 "it hashes by SHA-1 only"
without several "it asks about one certificate"
for ca; do
    database=sql:$own/$ca
    mkdir "$own/$ca"
    certutil -N -d "$database" --empty-password
    certutil -A -d "$database" -n ca -t CT,, -i "$ca/ca.crt"
    for name in good get revoked unlisted unknown stranger; do
        certutil -A -d "$database" -n "$name" -t ,, -i "$ca/$name.crt"
    done
    signer=ca
    if [ -e "$ca/responder.crt" ]; then
        signer=responder
        certutil -A -d "$database" -n responder -t ,, -i "$ca/responder.crt"
    fi
    # The responder of the URL in the certificate: by GET first.
    ask() {
        timeout 20 ocspclnt -S "$1" -d "$database" 2>&1 || true
    }
    # A responder whose certificate is named: by POST.
    post() {
        timeout 20 ocspclnt -S "$1" -d "$database" -l "$default" -t "$signer" 2>&1 || true
    }
    # It has the same words for a certificate that is revoked and one that it could learn nothing about.
    pkix() {
        timeout 20 vfychain -d "$database" -pp -u 1 -g leaf -h requireFreshInfo -m ocsp -s requireInfo,failIfNoInfo \
            -a "$ca/$1.crt" 2>&1 || true
    }
    well() {
        echo "$1: Check of certificate \"$2\" succeeded."
    }
    badly() {
        echo "$1: Check of certificate \"$2\" failed.  Reason:"$'\n'"$3"
    }
    revoked="Peer's Certificate has been revoked."
    look "$ca" good "URL: $(ask good) POST: $(post good) libpkix: $(pkix good)" \
        "$(well URL good)" "$(well POST good)" "libpkix: Chain is good!"
    look "$ca" revoked "URL: $(ask revoked) POST: $(post revoked) libpkix: $(pkix revoked)" \
        "$(badly URL revoked "$revoked")" "$(badly POST revoked "$revoked")" "libpkix: Chain is bad!" "ERROR -8180: $revoked"
    look "$ca" unauthorized "URL: $(ask unlisted) POST: $(post unlisted)" \
        "$(badly URL unlisted "The OCSP server has refused this request as unauthorized.")" \
        "$(badly POST unlisted "The OCSP server has refused this request as unauthorized.")"
    look "$ca" unknown "URL: $(ask unknown)" "$(badly URL unknown "The OCSP server has no status for the certificate.")"
    look "$ca" get "URL: $(ask get) libpkix: $(pkix get)" "$(well URL get)" "libpkix: Chain is good!"
    look "$ca" stranger "URL: $(ask stranger) libpkix: $(pkix stranger)" \
        "$(badly URL stranger "Invalid OCSP signing certificate in OCSP response.")" "libpkix: Chain is bad!"
done

# `openssl ocsp`: verifies the answer, its signer and its nonce.
. "$here/report.sh"

without get "it asks by POST only"
for ca; do
    ask() {
        local url=$1
        shift
        timeout 20 openssl ocsp -CAfile "$ca/ca.crt" "$@" -url "$url" -resp_text 2>&1 || true
    }
    issuer=(-issuer "$ca/ca.crt")
    look "$ca" good "$(ask "$default" "${issuer[@]}" -no_nonce -cert "$ca/good.crt")" \
        "Response verify OK" "$ca/good.crt: good" "!Nonce" "!WARNING"
    look "$ca" revoked "$(ask "$default" "${issuer[@]}" -no_nonce -cert "$ca/revoked.crt")" \
        "Response verify OK" "$ca/revoked.crt: revoked" "Reason: keyCompromise"
    look "$ca" unauthorized "$(ask "$default" "${issuer[@]}" -no_nonce -cert "$ca/unlisted.crt")" \
        "Responder Error: unauthorized (6)"
    look "$ca" unknown "$(ask "$unknown" "${issuer[@]}" -no_nonce -cert "$ca/unlisted.crt")" \
        "Response verify OK" "$ca/unlisted.crt: unknown"
    look "$ca" nonce "$(ask "$default" "${issuer[@]}" -cert "$ca/good.crt")" \
        "Response verify OK" "$ca/good.crt: good" "OCSP Nonce" "!WARNING"
    look "$ca" sha256 "$(ask "$default" -sha256 "${issuer[@]}" -cert "$ca/good.crt")" \
        "Response verify OK" "$ca/good.crt: good" "Hash Algorithm: sha256"
    look "$ca" several \
        "$(ask "$default" "${issuer[@]}" -cert "$ca/revoked.crt" -cert "$ca/unlisted.crt" -cert "$ca/good.crt")" \
        "Response verify OK" "$ca/revoked.crt: revoked" "$ca/unlisted.crt: unknown" "$ca/good.crt: good" "!WARNING"
    look "$ca" stranger "$(ask "$stranger" "${issuer[@]}" -cert "$ca/good.crt")" "Response Verify Failure" "!verify OK"
done

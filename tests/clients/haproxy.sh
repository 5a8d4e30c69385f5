# HAProxy 2.6, which asks nothing: it is given answers, as files when it starts, and over its socket. It does not verify what
# it staples: curl does.
. "$here/report.sh"
. "$here/staple.sh"

without get "it does not ask itself before 2.8"
without sha256 "it knows certificates by SHA-1 only"
without several "it takes answers about one certificate"

haproxy=$unpacked/usr/sbin/haproxy
reached=(-unix "$own/tls")
curled=(--unix-socket "$own/tls")

# Fetches an answer, whatever openssl thinks of it: file, URL, CA, certificate, words.
fetch() {
    timeout 20 openssl ocsp -CAfile "$3/ca.crt" -issuer "$3/ca.crt" -cert "$3/$4.crt" -url "$2" -respout "$1" \
        "${@:5}" >"$own/fetched" 2>&1 || true
}
# Makes what HAProxy reads of a certificate: CA, certificate, URL.
prepare() {
    chain "$1" "$2"
    cat "$1/leaf.key" >>"$own/$1.$2.pem"
    fetch "$own/$1.$2.pem.ocsp" "$3" "$1" "$2" -no_nonce
}
configure() {
    printf 'global\nstats socket %s/control level admin\ndefaults\nmode http\ntimeout client 9s\ntimeout server 9s\n' "$own"
    printf 'timeout connect 9s\nfrontend tls\nbind unix@%s/tls ssl %s\nhttp-request return status 204\n' "$own" "$1"
}
# What it says of an answer when it starts: CA, certificate.
checked() {
    configure "crt $own/$1.$2.pem" >"$own/check.cfg"
    "$haproxy" -c -f "$own/check.cfg" 2>&1 || true
}

for ca; do
    prepare "$ca" good "$default"
    prepare "$ca" revoked "$default"
    prepare "$ca" unlisted "$default"
    prepare "$ca" unknown "$unknown"
    prepare "$ca" stranger "$stranger"
    for name in good revoked stranger; do
        echo "$own/$ca.$name.pem $name.$ca" >>"$own/list"
    done
done
configure "crt-list $own/list" >"$own/haproxy.cfg"
"$haproxy" -db -f "$own/haproxy.cfg" >"$own/said" 2>&1 &
server=$!
until_well test -S "$own/tls" || { cat "$own/said" >&2; exit 1; }

for ca; do
    look "$ca" good "$(staple "$ca" good)" "Cert Status: good" "SSL certificate status: good (0)" "HTTP/1.1 204" "!Nonce"
    look "$ca" revoked "$(staple "$ca" revoked)" "Cert Status: revoked" "Revocation Reason: keyCompromise" \
        "SSL certificate revocation reason: keyCompromise (1)"
    look "$ca" unauthorized "$(checked "$ca" unlisted)" "OCSP response status not successful"
    look "$ca" unknown "$(checked "$ca" unknown)" "certificate status is unknown"
    look "$ca" stranger "$(staple "$ca" stranger)" "Cert Status: good" "OCSP response verification failed" \
        "!SSL certificate status"
    # A new answer while it runs, which is known by its nonce.
    fetch "$own/next" "$default" "$ca" good
    updated=$(echo "set ssl ocsp-response $(base64 --wrap=0 "$own/next")" | socat -t 20 - "UNIX-CONNECT:$own/control")
    look "$ca" nonce "$updated $(staple "$ca" good)" "OCSP Response updated!" "OCSP Nonce" "SSL certificate status: good (0)"
done

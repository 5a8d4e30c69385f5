# nginx with `ssl_stapling`: it fetches by GET what it staples, verifies it, and staples none but *good*.
. "$here/report.sh"
. "$here/staple.sh"

without nonce "it sends no nonce"
without sha256 "it hashes by SHA-1 only"
without several "it asks about one certificate"

reached=(-unix "$own/tls")
curled=(--unix-socket "$own/tls")
names="good get revoked unlisted unknown stranger"
{
    [ "$(id -u)" -ne 0 ] || echo "user root;"
    echo "daemon off; worker_processes 1; pid $own/pid; error_log $own/error.log error; events {} http { access_log off;"
    for temporary in client_body proxy fastcgi uwsgi scgi; do
        echo "${temporary}_temp_path $own/$temporary;"
    done
    echo "ssl_stapling on; ssl_stapling_verify on;"
    for ca; do
        for name in $names; do
            chain "$ca" "$name"
            echo "server { listen unix:$own/tls ssl; server_name $name.$ca; ssl_trusted_certificate $PWD/$ca/ca.crt;"
            echo "ssl_certificate $own/$ca.$name.pem; ssl_certificate_key $PWD/$ca/leaf.key; location / { return 204; } }"
        done
    done
    echo "}"
} >"$own/nginx.conf"
"$unpacked/usr/sbin/nginx" -p "$own" -e "$own/error.log" -c "$own/nginx.conf" &
server=$!
until_well test -S "$own/tls"

# The first handshake lets it ask. What came of it is stapled from then on, or in its log.
asked() {
    staple "$1" "$2" | grep --quiet "OCSP Response Status:" ||
        grep --quiet "certificate: \"$own/$1.$2.pem\"" "$own/error.log"
}
learned() {
    staple "$1" "$2"
    grep "certificate: \"$own/$1.$2.pem\"" "$own/error.log" || true
}
for ca; do
    for name in $names; do
        until_well asked "$ca" "$name"
    done
    none="OCSP response: no response sent"
    look "$ca" good "$(learned "$ca" good)" "Cert Status: good" "Hash Algorithm: sha1" "SSL certificate status: good (0)" \
        "HTTP/1.1 204" "!Nonce"
    look "$ca" get "$(learned "$ca" get)" "Cert Status: good" "SSL certificate status: good (0)"
    look "$ca" revoked "$(learned "$ca" revoked)" "$none" 'certificate status "revoked" in the OCSP response'
    look "$ca" unauthorized "$(learned "$ca" unlisted)" "$none" "OCSP response not successful (6: unauthorized)"
    look "$ca" unknown "$(learned "$ca" unknown)" "$none" 'certificate status "unknown" in the OCSP response'
    look "$ca" stranger "$(learned "$ca" stranger)" "$none" "OCSP_basic_verify() failed"
done

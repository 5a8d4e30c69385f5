# Apache httpd with `SSLUseStapling`: it fetches by POST what it staples, and does not verify it: curl does.
. "$here/report.sh"
. "$here/staple.sh"

without nonce "it sends no nonce"
without get "it asks by POST only"
without sha256 "it hashes by SHA-1 only"
without several "it asks about one certificate"

modules=/usr/lib/apache2/modules
names="good revoked unlisted unknown stranger"
configure() {
    echo "ServerName localhost"
    echo "ServerRoot $own"
    echo "DefaultRuntimeDir $own"
    echo "PidFile $own/pid"
    echo "ErrorLog $own/error.log"
    echo "Listen 127.0.0.1:$1"
    [ "$(id -u)" -ne 0 ] || printf 'User nobody\nGroup nogroup\n'
    for module in mpm_event authz_core socache_shmcb ssl; do
        echo "LoadModule ${module}_module $modules/mod_$module.so"
    done
    echo "SSLUseStapling on"
    echo "SSLStaplingCache shmcb:$own/staples"
    for ca in "${@:2}"; do
        for name in $names; do
            echo "<VirtualHost *:$1>"
            echo "ServerName $name.$ca"
            echo "SSLEngine on"
            echo "SSLCertificateFile $own/$ca.$name.pem"
            echo "SSLCertificateKeyFile $PWD/$ca/leaf.key"
            echo "</VirtualHost>"
        done
    done
}
for ca; do
    for name in $names; do
        chain "$ca" "$name"
    done
done
# It takes no port 0 and no Unix socket: a port that is free, outside of those that are given to connections.
started() {
    port=$((20000 + RANDOM % 10000))
    configure "$port" "$@" >"$own/apache.conf"
    rm -f "$own/pid"
    /usr/sbin/apache2 -DFOREGROUND -f "$own/apache.conf" >>"$own/said" 2>&1 &
    server=$!
    until [ -e "$own/pid" ]; do
        kill -0 "$server" 2>/dev/null || { server=; return 1; }
        sleep 0.05
    done
}
until_well started "$@" || { cat "$own/said" >&2; exit 1; }
reached=(-connect "127.0.0.1:$port")
curled=(--connect-to "::127.0.0.1:$port")

for ca; do
    look "$ca" good "$(staple "$ca" good)" "Cert Status: good" "Hash Algorithm: sha1" \
        "SSL certificate status: good (0)" "!Nonce"
    look "$ca" revoked "$(staple "$ca" revoked)" "Cert Status: revoked" "Revocation Reason: keyCompromise" \
        "SSL certificate revocation reason: keyCompromise (1)"
    look "$ca" unauthorized "$(staple "$ca" unlisted)" "OCSP Response Status: unauthorized (0x6)" \
        "Invalid OCSP response status: unauthorized (6)"
    look "$ca" unknown "$(staple "$ca" unknown)" "Cert Status: unknown" "SSL certificate status: unknown (2)"
    look "$ca" stranger "$(staple "$ca" stranger)" "OCSP response verification failed" "!SSL certificate status"
done

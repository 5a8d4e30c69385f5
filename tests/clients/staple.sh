# Sourced after report.sh by the clients that are servers and staple what they learn. Before it is called, `reached` says
# how `openssl s_client` reaches the server, and `curled` how curl does.

# What was stapled as `openssl s_client` reads it, and what curl, which verifies it, makes of it: CA, certificate.
staple() {
    timeout 20 openssl s_client "${reached[@]}" -servername "$2.$1" -CAfile "$1/ca.crt" -status </dev/null 2>&1 || true
    timeout 20 curl --silent --show-error --verbose --noproxy '*' --cert-status --cacert "$1/ca.crt" "${curled[@]}" \
        "https://$2.$1/" 2>&1 || true
}

# Writes the certificate and its CA's to a file: CA, certificate. Where the CA signs itself, nginx and curl look for its key
# in what the server sends, and nowhere else.
chain() {
    cat "$1/$2.crt" "$1/ca.crt" >"$own/$1.$2.pem"
}

# Waits until a command succeeds.
until_well() {
    for _ in $(seq 100); do
        ! "$@" || return 0
        sleep 0.05
    done
    echo "waited in vain for: $*" >&2
    return 1
}

# Ends the server, and waits for it.
server=
stop() {
    [ -n "$server" ] || return 0
    kill "$server" || true
    wait "$server" || true
}
trap stop EXIT

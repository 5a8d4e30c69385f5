# Sourced by the clients that are shell scripts. Their arguments: a folder of their own, the URLs of the daemon, of the
# daemon that says "unknown", and of the stranger, and the CAs, which are folders of the current one. What they print, as
# all clients do, is for each CA and each case a line: result, CA, case, text, with tabs between them.
set -euo pipefail

own=$1 default=$2 unknown=$3 stranger=$4
shift 4

result() {
    local text=${4//$'\t'/ }
    printf '%s\t%s\t%s\t%s\n' "$1" "$2" "$3" "${text//$'\n'/ | }"
}

# A case that the client does not have, with the reason.
without() {
    result n-a '*' "$1" "$2"
}

# What is to be known besides.
note() {
    result note '*' - "$1"
}

# Whether all these texts are in what was said, or not (with ! in front): CA, case, what was said, texts.
look() {
    local ca=$1 case=$2 said=$3 text
    shift 3
    for text; do
        case "$text" in
        !*) [[ $said != *"${text#!}"* ]] || { result FAILED "$ca" "$case" "\"${text#!}\" was not expected in: $said"; return; } ;;
        *) [[ $said == *"$text"* ]] || { result FAILED "$ca" "$case" "\"$text\" was expected in: $said"; return; } ;;
        esac
    done
    result ok "$ca" "$case" ""
}

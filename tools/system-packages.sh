#!/bin/sh
# Installs the system packages that the tests with real servers need and that are missing, where that is possible:
# as root, with apt. Elsewhere it only says what is missing; the tests that need it name it when they are skipped.
# With arguments it installs just those packages.
set -u

has_postgres() {
    command -v initdb >/dev/null 2>&1 || ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1
}

missing=$*
if [ $# -eq 0 ]; then
    command -v java >/dev/null 2>&1 || missing="$missing openjdk-17-jre-headless"
    command -v mvn >/dev/null 2>&1 || missing="$missing maven"
    command -v openssl >/dev/null 2>&1 || missing="$missing openssl"
    command -v promtool >/dev/null 2>&1 || missing="$missing prometheus"
    command -v amtool >/dev/null 2>&1 || missing="$missing prometheus-alertmanager"
    has_postgres || missing="$missing postgresql"
    command -v pgbouncer >/dev/null 2>&1 || [ -x /usr/sbin/pgbouncer ] || missing="$missing pgbouncer"
fi
[ -n "$missing" ] || exit 0

if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null 2>&1; then
    echo "not installed here, and only root with apt-get can:$missing (the tests that need them are skipped)" >&2
    exit 0
fi

echo "installing:$missing" >&2
log=$(mktemp)
export DEBIAN_FRONTEND=noninteractive
# A new machine has no package lists; an old one has lists that name files which are gone.
for attempt in 1 2; do
    # shellcheck disable=SC2086 # each word is a package
    if { [ "$attempt" -eq 1 ] || apt-get update; } >>"$log" 2>&1 \
        && apt-get install --yes --no-install-recommends $missing >>"$log" 2>&1 </dev/null; then
        rm -f "$log"
        exit 0
    fi
done
tail -n 5 "$log" >&2
rm -f "$log"
echo "could not install:$missing (the tests that need them are skipped)" >&2
exit 0

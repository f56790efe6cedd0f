#!/bin/sh
# Makes the secrets that docker-compose.yml names, once: a password and a database URL per department, a key file per view,
# and a signing key for everybody who speaks; and the topology that the containers read, which lists the public halves.
# What is there already stays. The containers run as whoever runs this, who alone can read them.
set -eu
cd "$(dirname "$0")/.."
umask 077
mkdir -p deploy/secrets

random() {
    od -An -v -tx1 -N32 /dev/urandom | tr -d ' \n'
}

# Neither of the shell's own: printf takes octal numbers only.
unhex() {
    printf '%s' "$1" | fold -w 2 | while read -r byte || [ -n "$byte" ]; do
        # shellcheck disable=SC2059 # the format is what this makes
        printf "\\$(printf '%03o' "0x$byte")"
    done
}

for department in public-security civil-affairs provident-fund social-security healthcare; do
    if [ ! -e "deploy/secrets/$department.url" ]; then
        password=$(random)
        printf '%s' "$password" >"deploy/secrets/$department.password"
        # PostgreSQL's image reads it as a user of its own; the folder lets nobody else in.
        chmod 644 "deploy/secrets/$department.password"
        printf 'postgresql+psycopg://tellonce:%s@db-%s/tellonce' "$password" "$department" \
            >"deploy/secrets/$department.url"
    fi
done

for view in citizen.identity citizen.residence marriage.status; do
    if [ ! -e "deploy/secrets/$view.key" ]; then
        printf 'digest: %s\npseudonym: %s\n' "$(random)" "$(random)" >"deploy/secrets/$view.key"
    fi
done

# As `tellonce keys sign` does, but before there is an image that has it: OpenSSL takes 32 bytes of a secret key of
# Ed25519 behind these 16, and gives those of the public one behind 12 others (RFC 8410).
topology=deploy/secrets/topology.yaml
{ cat topology.yaml && printf '\nsigning_keys:\n'; } >"$topology.new"
for principal in public-security civil-affairs provident-fund social-security healthcare reconciler operator; do
    file=deploy/secrets/$principal.sign
    if [ ! -e "$file" ]; then
        printf 'signing: %s\n' "$(random)" >"$file"
    fi
    public=$({ printf '%s' MC4CAQAwBQYDK2VwBCIEIA== | openssl base64 -d -A && unhex "$(sed 's/^signing: //' "$file")"; } |
        openssl pkey -inform DER -pubout -outform DER | tail -c 32 | od -An -v -tx1 | tr -d ' \n')
    [ "${#public}" -eq 64 ] || { echo "no public key of $file: OpenSSL 1.1.1 or newer is needed" >&2; exit 1; }
    printf '  %s: [%s]\n' "$principal" "$public" >>"$topology.new"
done
mv "$topology.new" "$topology"

user=$(id -u)
group=$(id -g)
if [ "$user" -eq 0 ]; then
    # The services do not run as root, so root hands the secrets over.
    user=10001 group=10001
    chown -R "$user:$group" deploy/secrets
fi
printf 'CONTAINER_UID=%s\nCONTAINER_GID=%s\n' "$user" "$group" >.env
echo "ready: docker compose up --build --detach"

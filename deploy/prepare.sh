#!/bin/sh
# Makes the secrets that docker-compose.yml names, once: a password and a database URL per department, a key file per view.
# What is there already stays. The containers run as whoever runs this, who alone can read them.
set -eu
cd "$(dirname "$0")/.."
umask 077
mkdir -p deploy/secrets

random() {
    od -An -v -tx1 -N32 /dev/urandom | tr -d ' \n'
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

user=$(id -u)
group=$(id -g)
if [ "$user" -eq 0 ]; then
    # The services do not run as root, so root hands the secrets over.
    user=10001 group=10001
    chown -R "$user:$group" deploy/secrets
fi
printf 'CONTAINER_UID=%s\nCONTAINER_GID=%s\n' "$user" "$group" >.env
echo "ready: docker compose up --build --detach"

#!/bin/sh
# Writes requirements.lock (the project's dependencies, its extra and its dependency groups), tools/uv.lock (what
# installs them) and the image's locks in deploy/: exact versions with hashes, for every platform and Python from 3.11,
# naming no index and no path of this machine.
# Versions already locked stay; UPGRADE=--upgrade takes the newest.
set -eu
cd "$(dirname "$0")/.."

# shellcheck disable=SC2086 # empty, or one option and its value
compile() {
    tools/uv.sh pip compile ${UPGRADE:-} --quiet --universal --python-version 3.11 --generate-hashes --no-annotate \
        --no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" "$@"
}

compile --extra demo --group dev --output-file requirements.lock pyproject.toml
echo "uv" | compile --output-file tools/uv.lock -
# What the image installs: nothing of tests, checkers and the demonstration, in the very versions that they ran with.
compile --constraint requirements.lock --output-file deploy/requirements.lock pyproject.toml
compile --constraint requirements.lock --output-file deploy/build.lock --group pyproject.toml:build

if grep -nE '^--|://|@ ' requirements.lock tools/uv.lock deploy/requirements.lock deploy/build.lock; then
    echo "the lines above name an index, a link or a path, which would not be there on another machine" >&2
    exit 1
fi

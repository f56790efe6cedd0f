#!/bin/sh
# Makes .venv from requirements.lock, hashes checked, which holds the extra `demo` too, and installs the project into it, editable.
# Needs python3 (3.11 or newer). Packages come from wherever this machine's pip and uv are set up to get them.
set -eu
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}

if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
    echo "tellonce needs Python 3.11 or newer; '$python' is not: name one with make PYTHON=/path/to/python3.11" >&2
    exit 3
fi

# Debian's python3 can lack venv, and then nothing below works.
if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
    tools/system-packages.sh python3-venv
fi

if [ ! -x .tools/bin/uv ] || ! .tools/bin/uv --version >/dev/null 2>&1; then
    rm -rf .tools
    "$python" -m venv .tools
    .tools/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement tools/uv.lock
fi

# One that another Python made cannot be repaired by installing into it.
if ! .venv/bin/python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
    tools/uv.sh venv --quiet --clear --no-project --python "$("$python" -c 'import sys; print(sys.executable)')" .venv
fi
tools/uv.sh pip sync --quiet --python .venv/bin/python --require-hashes requirements.lock
tools/uv.sh pip install --quiet --python .venv/bin/python --no-deps --no-build-isolation --editable .
touch .venv/.ready

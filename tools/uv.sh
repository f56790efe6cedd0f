#!/bin/sh
# Runs uv, which tools/setup.sh has put into .tools, with the package index that this machine's pip is set up to use:
# uv does not read pip's configuration, where a machine's own index usually is named.
set -eu
tools=$(cd "$(dirname "$0")/.." && pwd)/.tools/bin

if [ -z "${UV_DEFAULT_INDEX:-}${UV_INDEX_URL:-}${UV_INDEX:-}" ]; then
    index=${PIP_INDEX_URL:-$("$tools/python" -m pip config get global.index-url 2>/dev/null || true)}
    if [ -n "$index" ]; then
        UV_DEFAULT_INDEX=$index
        export UV_DEFAULT_INDEX
    fi
fi
exec "$tools/uv" "$@"

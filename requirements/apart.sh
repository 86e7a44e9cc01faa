#!/usr/bin/env bash
# Usage: requirements/apart.sh upload | shim
# Makes an environment of its own, requirements/.venv-LOCK, from a lock whose packages cannot live beside the others:
# upload is the platform's own client, for preop upload; shim its own runner with a stand-in for S3, for tests/engines/test_shim.py
# and benchmarks/platform_runner.py. The runner also becomes one file, .venv-shim/sagemaker-shim, which runs inside an image without Python 3.12.
set -euo pipefail
cd "$(dirname "$0")/.."
case "${1:-}" in
    upload) python="${PYTHON:-python3}" ;;
    shim) python="${PYTHON:-python3.12}" ;; # the only one it runs on
    *) echo "Usage: requirements/apart.sh upload | shim" >&2; exit 1 ;;
esac
command -v "$python" >/dev/null || { echo "requirements/apart.sh $1 needs $python: install it, or let PYTHON name it." >&2; exit 1; }
tools="requirements/.venv-$1" lock="requirements/$1.txt"
if [ "$(cat "$tools/installed" 2>/dev/null)" != "$(cksum <"$lock")" ]; then
    echo "Making $tools from $lock (once) ..." >&2
    "$python" -m venv --clear "$tools"
    "$tools/bin/pip" install --quiet --disable-pip-version-check --require-hashes --requirement "$lock"
    if [ "$1" = shim ]; then
        # The C library is the image's own: it must not be older than that of this machine.
        "$tools/bin/pyinstaller" --onefile --log-level ERROR --name sagemaker-shim --collect-submodules aioboto3 \
            --distpath "$tools" --workpath "$tools/build" --specpath "$tools/build" \
            "$tools"/lib/python3.12/site-packages/sagemaker_shim/cli.py
        rm -r "$tools/build"
    fi
    cksum <"$lock" >"$tools/installed"
fi

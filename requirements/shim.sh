#!/usr/bin/env bash
# Usage: requirements/shim.sh
# Makes what tests/engines/test_shim.py runs an algorithm with: the platform's own runner and a stand-in for S3. Python 3.12 only.
set -euo pipefail
cd "$(dirname "$0")/.."
tools=requirements/.venv-shim

lock=requirements/shim.txt
wanted() { cksum <"$lock"; }
if [ "$(cat $tools/installed 2>/dev/null)" != "$(wanted)" ]; then
    echo "Making $tools from $lock (once) ..." >&2
    "${PYTHON:-python3.12}" -m venv --clear $tools
    $tools/bin/pip install --quiet --disable-pip-version-check --require-hashes --requirement "$lock"
    wanted >$tools/installed
fi

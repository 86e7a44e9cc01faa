#!/usr/bin/env bash
# Usage: requirements/upload.sh
# Makes what preop upload speaks to grand-challenge.org with: the platform's own client, in an environment of its own.
set -euo pipefail
cd "$(dirname "$0")/.."
tools=requirements/.venv-upload

lock=requirements/upload.txt
wanted() { cksum <"$lock"; }
if [ "$(cat $tools/installed 2>/dev/null)" != "$(wanted)" ]; then
    echo "Making $tools from $lock (once) ..." >&2
    "${PYTHON:-python3}" -m venv --clear $tools
    $tools/bin/pip install --quiet --disable-pip-version-check --require-hashes --requirement "$lock"
    wanted >$tools/installed
fi

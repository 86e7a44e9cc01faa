#!/usr/bin/env bash
# Usage: requirements/install.sh LOCK
# Makes .venv from requirements/LOCK.txt with the library installed in place; does nothing when that is done already.
# Needs Python 3.11 or later; PYTHON names one, else the first that is found is taken.
set -euo pipefail
cd "$(dirname "$0")/.."
lock="requirements/$1.txt"

wanted() { cat "requirements/$1.txt" pyproject.toml | cksum; }
installed() { [ -f ".venv/installed-$1" ] && [ "$(cat ".venv/installed-$1")" = "$(wanted "$1")" ]; }
# The locks that hold all of another.
holders() {
    case "$1" in
        imaging) echo imaging training evaluation learning review hospital development ;;
        training | evaluation | learning | pathology | review | hospital) echo "$1" development ;;
        *) echo "$1" ;;
    esac
}
for holder in $(holders "$1"); do
    if installed "$holder"; then exit 0; fi
done

for python in ${PYTHON:-python3 python3.14 python3.13 python3.12 python3.11} none; do
    if "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then break; fi
done
if [ "$python" = none ]; then
    echo "preop needs Python 3.11 or later, and ${PYTHON:-python3} is $("${PYTHON:-python3}" --version 2>/dev/null || echo missing): install one, or let PYTHON name it." >&2
    exit 1
fi
echo "Making .venv from $lock (once, about a minute) ..."
if [ ! -x .venv/bin/pip ] && ! "$python" -m venv .venv; then
    echo "$python cannot make a virtual environment: on Debian and Ubuntu, sudo apt install python3-venv" >&2
    exit 1
fi
.venv/bin/pip install --quiet --disable-pip-version-check --require-hashes --requirement "$lock"
.venv/bin/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
wanted "$1" >".venv/installed-$1"

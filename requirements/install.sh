#!/usr/bin/env bash
# Usage: requirements/install.sh LOCK
# Makes .venv from requirements/LOCK.txt with the library installed in place; does nothing when that is done already.
# Needs Python 3.11 or later; PYTHON names one, else the first that is found is taken.
# In a bundle (./bundle.sh), whose wheels lie beside the repository, nothing is asked of a network.
set -euo pipefail
cd "$(dirname "$0")/.."
lock="requirements/$1.txt"

wanted() { cat "requirements/$1.txt" pyproject.toml | cksum; }
installed() { [ -f ".venv/installed-$1" ] && [ "$(cat ".venv/installed-$1")" = "$(wanted "$1")" ]; }
# The locks that hold all of another.
holders() {
    case "$1" in
        imaging) echo imaging training evaluation learning review hospital development ;;
        inference) echo inference learning development ;;
        slides) echo slides pathology development ;;
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
source=()
if [ -d ../wheels ] && [ -f ../SHA256SUMS ]; then
    echo "Checking the bundle ..."
    (cd .. && sha256sum --check --quiet SHA256SUMS)
    source=(--no-index --find-links ../wheels)
fi
echo "Making .venv from $lock (once; some minutes where it holds deep learning) ..."
if [ ! -x .venv/bin/pip ] && ! "$python" -m venv .venv; then
    echo "$python cannot make a virtual environment: on Debian and Ubuntu, sudo apt install python3-venv" >&2
    exit 1
fi
# Gigabytes come without a word otherwise.
(while sleep 20; do echo "  ... $(du -sm .venv | cut -f1) MB in .venv so far"; done) &
speaking=$!
trap 'kill $speaking 2>/dev/null || true' EXIT
.venv/bin/pip install --quiet --disable-pip-version-check ${source[@]+"${source[@]}"} --no-compile --no-deps --require-hashes --requirement "$lock"
# On all cores, where pip compiles on one; templates among the modules are no Python, and nobody imports the tests of packages.
.venv/bin/python -m compileall -q -j 0 -x '/tests?/' .venv/lib >/dev/null || true
.venv/bin/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
# Loops over voxels are compiled now: an isolated process keeps nothing, and would compile them for each case.
# For this kind of processor only, where an image is made for all.
if .venv/bin/python -c 'import numba' 2>/dev/null; then
    .venv/bin/python -c 'from preop.radiomics.warm_up import warm_up; warm_up()'
fi
wanted "$1" >".venv/installed-$1"

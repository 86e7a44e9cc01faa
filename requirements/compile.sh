#!/usr/bin/env bash
# Makes the hashed locks (*.txt) anew from the inputs (*.in). Needs uv: pip install uv.
# Every package has one version in all locks: imaging is resolved first and holds the others.
# What nothing here uses stays out (unused.in); where each lock installs, platforms.py asks at the end.
# A lock names no index and no download address, so that it works behind any mirror.
set -euo pipefail
cd "$(dirname "$0")"

compile() {
    echo "compiling $1.txt"
    uv pip compile --quiet --universal --python-version "${python:-3.11}" --no-config --no-sources --generate-hashes \
        --no-emit-index-url --no-emit-find-links --no-header --excludes unused.in "${@:2}" "$1.in" --output-file "$1.txt"
}

compile imaging
compile learning --constraint imaging.txt
compile pathology --constraint imaging.txt --constraint learning.txt
compile inference --constraint learning.txt --excludes unused_without_torch.in
compile slides --constraint pathology.txt
compile training --constraint imaging.txt --constraint learning.txt --constraint pathology.txt
compile evaluation --constraint imaging.txt --constraint learning.txt --constraint pathology.txt --constraint training.txt
compile review --constraint imaging.txt --constraint learning.txt --constraint pathology.txt --constraint training.txt
compile cluster --constraint imaging.txt --constraint learning.txt --constraint pathology.txt --constraint training.txt \
    --constraint review.txt
compile hospital --constraint imaging.txt --constraint learning.txt --constraint pathology.txt --constraint training.txt \
    --constraint review.txt --constraint cluster.txt
compile development --constraint training.txt --constraint evaluation.txt --constraint learning.txt --constraint pathology.txt --constraint review.txt \
    --constraint cluster.txt --constraint hospital.txt
compile docs --constraint development.txt
compile supply_chain --constraint development.txt
compile upload
python=3.12 compile shim
python3 platforms.py

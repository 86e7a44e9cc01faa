#!/usr/bin/env bash
# Usage: ./run.sh
#            runs every algorithm on its bundled examples, then the evaluation
#        ./run.sh ALGORITHM --SLUG FILE ... --output DIR [--model DIR] [--engine auto|docker|podman|process]
#            runs an algorithm on a case of your own; ./run.sh ALGORITHM --help lists what it takes
# Needs Python 3.11 or later and, the first time, an internet connection, or a bundle (./bundle.sh).
set -euo pipefail
here="$(cd "$(dirname "$0")" && pwd)"
preop="$here/.venv/bin/preop"
named=""
case "${1:-}" in "" | -*) ;; *) named="$1" ;; esac
for word in "$@"; do
    case "$word" in
        -h | --help)
            "$here/requirements/install.sh" imaging
            exec "$preop" run "$@"
            ;;
    esac
done
# Isolated processes run with the packages of .venv; containers bring their own.
prepare_processes() {
    local description="$here/algorithms/$named/algorithm.toml" locks="inference slides"
    if [ -n "$named" ] && [ -f "$description" ]; then
        locks="$(sed -n 's/^requirements = "\(.*\)"$/\1/p' "$description")"
    fi
    for lock in $locks; do "$here/requirements/install.sh" "$lock"; done
}
# The images of a bundle, once: there are gigabytes of them.
load_bundled() {
    local sums="$here/../SHA256SUMS" loaded="$here/.venv/loaded-$engine"
    if [ ! -d "$here/../images" ] || [ ! -f "$sums" ] || cmp -s "$sums" "$loaded"; then return; fi
    for image in "$here"/../images/*.tar; do
        if [ -f "$image" ]; then "$engine" load --quiet --input "$image" >/dev/null; fi
    done
    cp "$sums" "$loaded"
}
engine=""
case "$*" in
    *"--engine process"* | *"--engine=process"*) ;;
    *) if docker version >/dev/null 2>&1; then engine=docker; elif podman info >/dev/null 2>&1; then engine=podman; fi ;;
esac
if [ -n "$engine" ]; then
    "$here/requirements/install.sh" imaging
    load_bundled
    if ! "$preop" build --if-needed ${named:+"$named"}; then
        rm -f "$here/.venv/loaded-$engine"
        echo "The images cannot be built here (docs/containers.md): going on without containers." >&2
        prepare_processes
    fi
else
    prepare_processes
fi
if [ $# -eq 0 ]; then exec "$preop" examples; fi
exec "$preop" run "$@"

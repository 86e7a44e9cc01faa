#!/usr/bin/env bash
# Usage: ./run.sh
#            runs every algorithm on its bundled cases, then the evaluation
#        ./run.sh ALGORITHM --input DIR --output DIR [--model DIR] [--engine auto|docker|podman|process]
#            runs an algorithm on a case of your own
# Needs Python 3.11 or later and, the first time, an internet connection.
set -euo pipefail
here="$(cd "$(dirname "$0")" && pwd)"
preop="$here/.venv/bin/preop"
# Isolated processes run with the packages of .venv; containers bring their own.
prepare_processes() { for lock in learning pathology; do "$here/requirements/install.sh" "$lock"; done; }
if docker version >/dev/null 2>&1 || podman info >/dev/null 2>&1; then
    "$here/requirements/install.sh" imaging
    names=()
    case "${1:-}" in "" | -*) ;; *) names=("$1") ;; esac
    if ! "$preop" build --if-needed ${names[@]+"${names[@]}"}; then
        echo "The images cannot be built here (docs/containers.md): going on without containers." >&2
        prepare_processes
    fi
else
    prepare_processes
fi
if [ $# -eq 0 ]; then exec "$preop" examples; fi
exec "$preop" run "$@"

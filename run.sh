#!/usr/bin/env bash
# Usage: ./run.sh
#            runs every algorithm on its bundled cases, then the evaluation
#        ./run.sh ALGORITHM --input DIR --output DIR [--model DIR] [--engine auto|docker|podman|process]
#            runs an algorithm on a case of your own
# Needs Python 3.11 or later and, the first time, an internet connection.
set -euo pipefail
here="$(cd "$(dirname "$0")" && pwd)"
# Containers bring their own packages; without an engine the algorithms run with those of .venv.
if docker version >/dev/null 2>&1 || podman info >/dev/null 2>&1; then locks=imaging; else locks="learning pathology"; fi
for lock in $locks; do "$here/requirements/install.sh" "$lock"; done
if [ $# -eq 0 ]; then exec "$here/.venv/bin/preop" examples; fi
exec "$here/.venv/bin/preop" run "$@"

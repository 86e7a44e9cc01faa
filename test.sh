#!/usr/bin/env bash
# Usage: ./test.sh [--fast] [ALGORITHM ...]
# --fast: formatting, types and the tests that are not slow: no containers, no training, no whole model.
# Formatting, types and unit tests, then every algorithm and the evaluation (or only the named ones) on their test
# cases: in containers where docker or podman works, else in isolated processes. Exits with 1 on any difference.
set -euo pipefail
cd "$(dirname "$0")"
fast=false
if [ "${1:-}" = --fast ]; then fast=true; shift; fi
if $fast && [ $# -gt 0 ]; then echo "--fast runs no test cases: leave out $*" >&2; exit 1; fi
requirements/install.sh development
# One command a line: bash does not stop at a failure inside of a && b && c.
echo "formatting"
.venv/bin/ruff format --check --quiet .
.venv/bin/ruff check --quiet .
echo "types, and unit tests meanwhile"
types="$(mktemp)"
.venv/bin/mypy >"$types" 2>&1 &
checker=$!
trap 'kill "$checker" 2>/dev/null || true; rm -f "$types"' EXIT
failed=false
if $fast; then selection="not slow"; else selection=""; fi
# There is a process for each core: more threads in each would only wait for one another.
one_thread=(env OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS=1)
"${one_thread[@]}" .venv/bin/pytest --numprocesses auto --quiet -m "$selection" || failed=true
wait "$checker" || failed=true
cat "$types"
if $failed; then exit 1; fi
if $fast; then exit; fi
echo "test cases"
.venv/bin/preop test "$@"

#!/usr/bin/env bash
# Usage: ./test.sh [ALGORITHM ...]
# Formatting, types and unit tests, then every algorithm and the evaluation (or only the named ones) on their test
# cases: in containers where docker or podman works, else in isolated processes. Exits with 1 on any difference.
set -euo pipefail
cd "$(dirname "$0")"
requirements/install.sh development
# One command a line: bash does not stop at a failure inside of a && b && c.
echo "formatting"
.venv/bin/ruff format --check --quiet .
.venv/bin/ruff check --quiet .
echo "types"
.venv/bin/mypy
echo "unit tests"
.venv/bin/pytest --numprocesses auto --quiet
echo "test cases"
.venv/bin/preop test "$@"

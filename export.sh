#!/usr/bin/env bash
# Usage: ./export.sh [ALGORITHM] ...
# Writes what is uploaded to grand-challenge.org: the image's archive, model.tar.gz and SHA256SUMS, checked as the platform does.
set -euo pipefail
cd "$(dirname "$0")"
if ! docker version >/dev/null 2>&1 && ! podman info >/dev/null 2>&1; then
    echo "Images need docker or podman, and neither works here: start docker's daemon, or install podman and runc." >&2
    exit 1
fi
requirements/install.sh imaging
exec .venv/bin/preop export "$@"

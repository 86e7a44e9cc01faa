#!/usr/bin/env bash
# Usage: ./export.sh [ALGORITHM] ...
# Writes what is uploaded to grand-challenge.org: the image's archive, model.tar.gz and SHA256SUMS, checked as the platform does.
set -euo pipefail
cd "$(dirname "$0")"
requirements/install.sh imaging
exec .venv/bin/preop export "$@"

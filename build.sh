#!/usr/bin/env bash
# Usage: ./build.sh [ALGORITHM] ...
# Builds the images of the algorithms and of the evaluation with docker or podman; PREOP_BUILD_OPTIONS holds further
# options of the engine (a network behind a proxy), PREOP_BASE_IMAGE another image to build on.
set -euo pipefail
cd "$(dirname "$0")"
requirements/install.sh imaging
exec .venv/bin/preop build "$@"

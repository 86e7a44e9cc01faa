#!/usr/bin/env bash
# Usage: ./build.sh [ALGORITHM] ...
# Builds the images of the algorithms and of the evaluation with docker or podman.
# PREOP_BASE_IMAGE names another image to build on. PREOP_BUILD_OPTIONS holds further options of the engine's build; in a
# network with its own package index or certificate authority (both secrets stay outside the image; docs/containers.md):
#   --network=host --secret=id=pip,src=pip.conf --secret=id=certificates,src=/etc/ssl/certs/ca-certificates.crt
set -euo pipefail
cd "$(dirname "$0")"
requirements/install.sh imaging
exec .venv/bin/preop build "$@"

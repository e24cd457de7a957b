#!/usr/bin/env bash
# Installs the Debian packages that some tests need, so that nothing is skipped where this runs. Needs apt; a no-op elsewhere.
# Today: the C++ compiler only. Tests that need more say so in their skip reason.
set -euo pipefail
command -v apt-get >/dev/null || exit 0
command -v g++ >/dev/null && exit 0
apt-get update -qq
apt-get install -y -qq --no-install-recommends g++

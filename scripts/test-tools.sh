#!/usr/bin/env bash
# Installs the Debian packages that some tests need, so that nothing is skipped where this runs. Needs apt; a no-op elsewhere.
# A C++ compiler for everything, and one with an emulator for 64-bit ARM for `npm run test:neon`; a browser for the reports'
# pages; systemd's own check of the units in deploy/.
set -euo pipefail
command -v apt-get >/dev/null || exit 0
missing=()
command -v g++ >/dev/null || missing+=(g++)
command -v aarch64-linux-gnu-g++ >/dev/null || missing+=(g++-aarch64-linux-gnu)
command -v qemu-aarch64 >/dev/null || missing+=(qemu-user)
command -v systemd-analyze >/dev/null || missing+=(systemd)
command -v chromium >/dev/null || missing+=(chromium)
[ ${#missing[@]} -eq 0 ] && exit 0
apt-get update -qq
apt-get install -y -qq --no-install-recommends "${missing[@]}"

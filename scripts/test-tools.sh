#!/usr/bin/env bash
# Installs the Debian packages that some tests need, so that nothing is skipped where this runs. Needs apt; a no-op elsewhere.
# A C++ compiler for everything, and one with an emulator for 64-bit ARM for `npm run test:neon`; a browser for the reports'
# pages, which brings SwiftShader along, the processor as a GPU, and the Vulkan loader for it; systemd's own check of the
# units in deploy/; and, as far as it can be had, a software GPU with float16.
set -euo pipefail
command -v apt-get >/dev/null || exit 0
missing=()
command -v g++ >/dev/null || missing+=(g++)
command -v aarch64-linux-gnu-g++ >/dev/null || missing+=(g++-aarch64-linux-gnu)
command -v qemu-aarch64 >/dev/null || missing+=(qemu-user)
command -v systemd-analyze >/dev/null || missing+=(systemd)
command -v chromium >/dev/null || missing+=(chromium)
ldconfig -p | grep -q 'libvulkan\.so\.1' || missing+=(libvulkan1)
if [ ${#missing[@]} -gt 0 ]; then
  apt-get update -qq
  apt-get install -y -qq --no-install-recommends "${missing[@]}"
fi

# Mesa's lavapipe: has shader-f16, and from 25 on Dawn takes it. Debian 12's own is older; its backports have one, and are asked
# for this once, with package lists of their own. Without it the tests of float16 are skipped.
recent() { dpkg --compare-versions "${1:-0}" ge 25; }
install_lavapipe() {
  local installed candidate archive codename scratch
  installed=$(dpkg-query -W -f '${Version}' mesa-vulkan-drivers 2>/dev/null || true)
  recent "$installed" && return
  # The lists may never have been fetched.
  apt-cache policy mesa-vulkan-drivers | grep -q Candidate || apt-get update -qq
  candidate=$(apt-cache policy mesa-vulkan-drivers | sed -n 's/^ *Candidate: //p')
  if recent "${candidate/(none)/0}"; then
    apt-get install -y -qq --no-install-recommends mesa-vulkan-drivers
    return
  fi
  codename=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
  [ "$codename" = bookworm ] || return
  # The mirror that this machine has its packages from.
  archive=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' "Codename: $codename" | head -1)
  scratch=$(mktemp -d)
  chmod 755 "$scratch"
  mkdir -p "$scratch/parts" "$scratch/lists/partial"
  cp -r /etc/apt/sources.list.d/. "$scratch/parts" 2>/dev/null || true
  echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $archive $codename-backports main" >"$scratch/parts/backports.list"
  local here=(-o "Dir::Etc::SourceParts=$scratch/parts" -o "Dir::State::Lists=$scratch/lists")
  local status=0
  { apt-get update -qq "${here[@]}" &&
    apt-get install -y -qq --no-install-recommends "${here[@]}" -t "$codename-backports" mesa-vulkan-drivers; } || status=$?
  rm -rf "$scratch"
  return "$status"
}
# Called in a condition, so that no step of it ends the script.
install_lavapipe || echo 'no lavapipe 25: the tests of float16 will be skipped' >&2

#!/bin/sh
# Starts app/@PROGRAM@ with the Node.js of this folder. Needs a shell and glibc.
self=$0
if [ -L "$self" ]; then self=$(readlink -f "$self"); fi
case $self in
*/*) here=$(cd "${self%/*}" && pwd -P) ;;
*) here=$(pwd -P) ;;
esac

loader=@LOADER@
if [ ! -e "$loader" ]; then
  echo "ctflow: $loader is not here: this is a build for Linux with glibc (not musl) on @ARCH@" >&2
  exit 1
fi

# The host's libraries where they serve, since its GPU driver was built for them; ours where one is missing or too old.
found=$(
  for file in @FILES@; do
    "$loader" --list "$file" 2>&1
  done
)
case $found in
*"version \`GLIBC_"*)
  echo "ctflow: this host's glibc is too old: expected @GLIBC@ or newer" >&2
  exit 1
  ;;
*"not found"* | *"cannot open"*) LD_LIBRARY_PATH=$here/lib/c++${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH} ;;
esac
# What a GPU's driver may open, each with the folder that has it.
for each in vulkan/libvulkan.so.1 x11/libXext.so.6 egl/libEGL.so.1; do
  case $(LD_PRELOAD=${each#*/} "$loader" --list "$loader" 2>&1) in
  *"cannot be preloaded"*) LD_LIBRARY_PATH=${LD_LIBRARY_PATH:+$LD_LIBRARY_PATH:}$here/lib/${each%/*} ;;
  esac
done
if [ -n "${LD_LIBRARY_PATH:-}" ]; then export LD_LIBRARY_PATH; fi

exec "$here/node/node" "$here/app/@PROGRAM@" "$@"

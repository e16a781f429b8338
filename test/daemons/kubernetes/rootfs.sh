#!/usr/bin/env bash
# rootfs.sh ROOTFS [NAME=]PROGRAM...: a root file system in the folder ROOTFS with programs of this machine in /usr/bin
# and the shared libraries that they name, where their loader looks. A PROGRAM is a path, or a name found in PATH; NAME
# is another name for it inside. A busybox brings its applets, as long as no other program has the name. Safe to repeat.
#   rootfs.sh rootfs sh bash tar node=node_modules/node/bin/node
set -euo pipefail
rootfs=${1:?usage: rootfs.sh ROOTFS [NAME=]PROGRAM...}
shift
mkdir -p "$rootfs"/usr/{bin,lib,lib64} "$rootfs"/{etc,root,tmp,proc,sys,dev}
chmod 1777 "$rootfs/tmp"
for each in bin lib lib64; do ln -sfn "usr/$each" "$rootfs/$each"; done
ln -sfn usr/bin "$rootfs/sbin"
echo root:x:0:0:root:/root:/bin/sh >"$rootfs/etc/passwd"
echo root:x:0: >"$rootfs/etc/group"

for argument in "$@"; do
  program=${argument#*=}
  name=$(basename "${argument%%=*}")
  file=$(command -v "$program") || {
    echo "rootfs.sh: no program $program here" >&2
    exit 1
  }
  cp --remove-destination -L "$file" "$rootfs/usr/bin/$name"
  # "libc.so.6 => /lib/.../libc.so.6 (0x...)" or "/lib64/ld-linux-x86-64.so.2 (0x...)"; nothing for a static program
  { ldd "$file" 2>/dev/null || :; } | sed -n 's,^[^/]*\(/[^ ]*\) (0x.*,\1,p' | while read -r library; do
    mkdir -p "$rootfs$(dirname "$library")"
    cp --remove-destination -L "$library" "$rootfs$library"
  done
  [ "$name" = busybox ] || continue
  for applet in $("$file" --list); do
    [ -e "$rootfs/usr/bin/$applet" ] || ln -s busybox "$rootfs/usr/bin/$applet"
  done
done

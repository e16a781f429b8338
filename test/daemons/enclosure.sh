#!/usr/bin/env bash
# enclosure.sh DIRECTORY UNSHARE-OPTION... : namespaces in which daemons run until standard input closes.
# Prints the first process in there, numbered as out here. When the starter ends, however it ends, the kernel kills all
# that is inside; then DIRECTORY/undo is run and DIRECTORY is removed.
set -u
directory=$1
shift

# Process 1 of the enclosure: bash, because it reaps what daemons leave behind. The old /proc still tells its number.
# shellcheck disable=SC2016 # for the inner shell
unshare --mount --pid --fork --kill-child "$@" bash --noprofile --norc -c '
  read -r first _ </proc/self/stat
  mount -t proc proc /proc && mount -t tmpfs -o mode=755 tmpfs /run && mkdir /run/sshd /run/lock || exit 1
  echo "$first"
  while read -r _; do :; done'

[ ! -e "$directory/undo" ] || sh "$directory/undo"
rm -rf -- "$directory"

#!/usr/bin/env bash
# keep.sh STATE: the owner of a cluster's processes. Runs until SIGTERM, then ends them and gives back what the machine
# lent. Keeps descriptor 9, the lock of the machine's only node, until all is clean. Started by up.sh.
# shellcheck disable=SC1090,SC1091,SC2154 # of STATE/settings
set -u
cd "$1" || exit 1
echo $$ >pid
. ./settings
scripts=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
trap 'exit' TERM
trap 'trap "" TERM; bash "$scripts/clean-up.sh" "$state"; rm -f pid' EXIT

# by this variable clean-up.sh knows every process
inner=(env "KUBERNETES_STATE=$state" bash "$scripts/daemons.sh" "$state")
if [ -z "$node" ]; then
  "${inner[@]}" 9>&- &
else
  for each in "${cgroup_trees[@]}"; do mkdir -p "$each/$cgroup"; done
  unshare --mount --pid --fork --kill-child --mount-proc "${inner[@]}" 9>&- &
fi
wait

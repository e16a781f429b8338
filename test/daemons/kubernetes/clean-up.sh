#!/usr/bin/env bash
# clean-up.sh STATE: kills every process of the cluster, its stand-in nodes and their pods, and gives back what the
# machine lent. Safe to repeat. Not itself a process of the cluster.
# shellcheck disable=SC1090,SC1091,SC2154 # of STATE/settings
set -u
cd "$1" 2>/dev/null && [ -e settings ] || exit 0
. ./settings
unset KUBERNETES_STATE

# Those that inherited the mark; containers have not, and die with their node's process 1.
ours() { grep -lszFx "KUBERNETES_STATE=$state" /proc/[0-9]*/environ | cut -d/ -f3; }
# A process that ends loses its mark before its ports: until it is gone, or a zombie without other threads.
is_there() {
  local threads=(/proc/"$1"/task/*)
  [ -d "${threads[0]}" ] && { [ "${#threads[@]}" -gt 1 ] || ! grep -qs '^State:.Z' "/proc/$1/status"; }
}
killed=()
for _ in $(seq 200); do
  mapfile -t found < <(ours)
  left=()
  for each in "${killed[@]}"; do ! is_there "$each" || left+=("$each"); done
  [ "${#found[@]}" -gt 0 ] || [ "${#left[@]}" -gt 0 ] || break
  killed=("${left[@]}" "${found[@]}")
  [ "${#found[@]}" -eq 0 ] || kill -KILL "${found[@]}" 2>/dev/null
  sleep 0.05
done
[ "${#killed[@]}" -eq 0 ] || for each in "${killed[@]}"; do ! is_there "$each" || echo "still there: $each" >&2; done

if [ -n "$node" ]; then
  ip link del "$bridge" 2>/dev/null
  for place in "${cgroup_trees[@]}"; do
    each=$place/$cgroup
    # until the last container has died
    for _ in $(seq 200); do
      [ -d "$each" ] || break
      find "$each" -depth -type d -exec rmdir {} + 2>/dev/null || sleep 0.05
    done
    [ ! -d "$each" ] || echo "still there: $each" >&2
  done
fi
exit 0

#!/usr/bin/env bash
# down.sh STATE: ends the cluster that up.sh started there, with all that it has on the machine; the folder stays, with
# its logs. Safe to repeat.
set -u
scripts=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
state=$(cd "$1" 2>/dev/null && pwd) || exit 0
is_kept() { [ -e "$state/pid" ] && tr '\0' ' ' <"/proc/$(cat "$state/pid")/cmdline" 2>/dev/null | grep -qF "keep.sh $state "; }
if is_kept; then
  kill -TERM "$(cat "$state/pid")"
  for _ in $(seq 300); do
    is_kept || break
    sleep 0.05
  done
fi
# again, for the case that the keeper was killed
bash "$scripts/clean-up.sh" "$state"
rm -f "$state/pid"

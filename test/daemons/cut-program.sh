#!/bin/bash
# PLACE/bin/NAME ARGUMENT... : stands before the program NAME on the PATH of a login. Without PLACE/NAME.order it is that
# program. An order is taken once, and says where in its run the SSH connection that it was started over is cut: see
# session-cuts.ts.
name=${0##*/} place=${0%/bin/*}
program=$(PATH=/usr/bin:/bin type -P "$name")
if ! { [[ -e $place/$name.order ]] && /bin/mv -- "$place/$name.order" "$place/$name.taken" 2>/dev/null; }; then
  exec -a "$name" "$program" "$@"
fi
read -r how bytes <"$place/$name.taken"

# Ends the nearest sshd above: the process that serves this connection, never the server itself.
cut_off() {
  local pid=$$ comm stat
  while (( pid > 1 )); do
    read -r comm <"/proc/$pid/comm"
    if [[ $comm == sshd* ]]; then
      kill -KILL "$pid"
      while kill -0 "$pid" 2>/dev/null; do sleep 0.01; done
      return
    fi
    read -r stat <"/proc/$pid/stat"
    read -r _ pid _ <<<"${stat##*) }"
  done
}
wait_for_go() {
  until [[ -e $place/$name.$how ]]; do sleep 0.05; done
  /bin/rm -f -- "$place/$name.$how"
}

case $how in
  before) cut_off; exit 255 ;;
  after) "$program" "$@" >/dev/null 2>&1; cut_off; exit 255 ;;
  reading) { head -c "$bytes"; cut_off; } | "$program" "$@"; exit 255 ;;
  writing) "$program" "$@" | { head -c "$bytes"; cut_off; }; exit 255 ;;
  late) cut_off; wait_for_go; exec "$program" "$@" >/dev/null 2>&1 ;;
  held) wait_for_go; exec "$program" "$@" ;;
esac
echo "no such order: $how" >&2
exit 255

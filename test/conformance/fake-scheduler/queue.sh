#!/bin/bash
# A batch scheduler without a server: state lies in a directory, and each job is a session of its own.
# queue.sh VERB STATE ...; files in STATE make it misbehave: `hold` keeps jobs in the queue.
verb=$1 state=$2
mkdir -p "$state/jobs" "$state/over"
cd "$state" || exit 1

case $verb in
  submit)
    script=$3 name=$4 size=$5 log=$6
    if [[ -e refuse ]]; then cat refuse >&2; exit 1; fi
    if [[ -e largest ]] && (( size > $(<largest) )); then echo 'the array is too large' >&2; exit 1; fi
    there=(jobs/[0-9]*)
    [[ -e ${there[0]} ]] || there=()
    if [[ -e room ]] && (( ${#there[@]} + size > $(<room) )); then echo 'over quota' >&2; exit 1; fi
    exec 9>lock
    flock 9
    id=$(( $(cat counter 2>/dev/null || echo 0) + 1 ))
    echo "$id" >counter
    exec 9>&-
    for (( index = 0; index < size; index += 1 )); do
      native=${id}_$index
      mkdir "jobs/new.$native"
      printf '%s %s\n' "$name" "$index" >"jobs/new.$native/name"
      echo queued >"jobs/new.$native/state"
      mv "jobs/new.$native" "jobs/$native"
      setsid bash "$0" task "$state" "$native" "$script" "$index" "$log" </dev/null >/dev/null 2>&1 &
    done
    echo "$id"
    ;;
  task)
    native=$3 script=$4 index=$5 log=$6
    echo $$ >"jobs/$native/session"
    while [[ -e hold ]]; do
      [[ -d $state/jobs/$native ]] || exit 0
      sleep 0.02
    done
    echo running >"jobs/$native/state.new" && mv "jobs/$native/state.new" "jobs/$native/state"
    FAKE_INDEX=$index bash "$script" >>"$log" 2>&1
    code=$?
    read -r name _ <"jobs/$native/name"
    echo "$native|ended|$code|$name" >"over/$native"
    rm -rf "jobs/$native"
    ;;
  list)
    if [[ -e broken ]]; then echo 'cannot contact the scheduler' >&2; exit 1; fi
    for job in jobs/[0-9]*; do
      read -r word 2>/dev/null <"$job/state" || continue
      read -r name index 2>/dev/null <"$job/name" || continue
      printf '%s|%s|%s|%s\n' "${job#jobs/}" "$name" "$index" "$word"
    done
    echo 'end of list'
    ;;
  account)
    shift 2
    for native; do cat "over/$native" 2>/dev/null; done
    exit 0
    ;;
  cancel)
    shift 2
    for native; do
      [[ -d jobs/$native ]] || continue
      for try in {1..100}; do
        read -r session 2>/dev/null <"jobs/$native/session" && break
        sleep 0.02
      done
      read -r name _ <"jobs/$native/name"
      echo "$native|cancelled||$name" >"over/$native"
      pkill -TERM -s "$session"
      { sleep 0.3; pkill -KILL -s "$session"; } >/dev/null 2>&1 &
      rm -rf "jobs/$native"
    done
    ;;
  kill)
    # What an administrator or the kernel does: no word to anybody.
    read -r session <"jobs/$3/session"
    rm -rf "jobs/$3"
    pkill -KILL -s "$session"
    ;;
esac

import { recordFirstLine } from '../../src/volunteers/result-record.ts'

/**
 * Shell functions of the launcher that unpack what came and pack what goes back: one archive with the record first,
 * then of each job what is compared, what it printed, and its outputs with what links lead to.
 */
export const packingFunctions = `# A file of the application may be a note that says where it lies.
real_path() {
  note=
  { IFS= read -r note <"$1"; } 2>/dev/null
  case $note in
    '<soft_link>'*'</soft_link>'*)
      note=\${note#<soft_link>}
      printf '%s' "\${note%%</soft_link>*}"
      ;;
    *) printf '%s' "$1" ;;
  esac
}
unpack_all() {
  for archive in tree.tar.gz shared.*.tar.gz; do
    [ -e "$archive" ] || continue
    tar -xzf "$(real_path "$archive")" || return 1
  done
  tar -xzf jobs.tar.gz || return 1
  : >unpacked
}
unpack_again() {
  rm -rf "jobs/$1"
  tar -xzf jobs.tar.gz "jobs/$1"
}
write_record() {
  {
    echo '${recordFirstLine}'
    echo "system $(uname -s) $(uname -m)"
    [ -z "$1" ] || echo "$1"
    number=1
    while [ "$number" -le "$jobs" ]; do
      read -r words <"jobs/$number/end" && echo "job $number $words"
      number=$((number + 1))
    done
  } >record
}
# The arguments are paths; those that are not there are passed over.
pack_paths() {
  count=$#
  while [ "$count" -gt 0 ]; do
    path=$1
    shift
    [ ! -e "$path" ] || set -- "$@" "$path"
    count=$((count - 1))
  done
  rm -f packing_failed
  { tar -c -h $dereference -f - record "$@" || echo "$?" >packing_failed; } | gzip -c >"result.part.$$" || return 1
  # 1: a file changed meanwhile
  [ ! -e packing_failed ] || [ "$(cat packing_failed)" = 1 ]
}
# Each output gets its place in the list as its name, whatever it is called: links are followed when it is packed.
number_outputs() {
  job=jobs/$1
  rm -rf "$job/out"
  mkdir "$job/out"
  set --
  # shellcheck source=/dev/null
  . "$job/outputs"
  place=1
  for path; do
    [ ! -e "$job/work/$path" ] || ln -s "../work/$path" "$job/out/$place"
    place=$((place + 1))
  done
}
pack_all() {
  write_record ''
  set --
  number=1
  while [ "$number" -le "$jobs" ]; do
    number_outputs "$number"
    set -- "$@" "jobs/$number/compared" "jobs/$number/stdout" "jobs/$number/stderr" "jobs/$number/out"
    number=$((number + 1))
  done
  if ! pack_paths "$@"; then pack_logs 'unpacked its outputs could not be packed'
  elif [ "$(wc -c <"result.part.$$")" -gt "$result_bytes" ]; then pack_logs "unpacked its outputs take $(($(wc -c <"result.part.$$"))) bytes where $result_bytes may be sent"
  fi
  mv "result.part.$$" result.tar.gz
}
# Only the beginning of what was printed.
pack_logs() {
  write_record "$1"
  set --
  number=1
  while [ "$number" -le "$jobs" ]; do
    for log in stdout stderr; do
      dd "if=jobs/$number/$log" "of=jobs/$number/cut" bs=32768 count=1 2>/dev/null
      mv "jobs/$number/cut" "jobs/$number/$log"
      set -- "$@" "jobs/$number/$log"
    done
    number=$((number + 1))
  done
  pack_paths "$@"
}
pack_failure() {
  jobs=0
  write_record "failed $1"
  pack_paths
  mv "result.part.$$" result.tar.gz
}
dereference=
tar --hard-dereference -cf /dev/null init_data.xml 2>/dev/null && dereference=--hard-dereference`

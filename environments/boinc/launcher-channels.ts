/**
 * Shell functions of the launcher that speak with the BOINC client by the memory-mapped file `boinc_mmap_file`: channels
 * of 1024 bytes, the first of which says that a message waits; its text ends with a NUL. See BOINC's `AppInfo` and the
 * client's `app_control`.
 *
 * `hear` obeys what the client asks and notes when the client is gone: `orders` is then `quit`, `abort` or `gone`. It is
 * called about once a second. Whatever came is cleared, known or not: a message that is left unread gets the task killed.
 */
export const channelFunctions = `channels=boinc_mmap_file
one=$(printf '\\001')
flag_of() { dd "if=$channels" bs=1 "skip=$1" count=1 2>/dev/null | tr '\\000\\001' '01'; }
put_flag() { printf "$2" | dd "of=$channels" bs=1 "seek=$1" conv=notrunc 2>/dev/null; }
client_named() { sed -n 's/.*<client_pid>\\([0-9][0-9]*\\)<.*/\\1/p' init_data.xml 2>/dev/null; }
is_client_gone() {
  [ -n "$client" ] || return 1
  [ -e "/proc/$client" ] || kill -0 "$client" || return 0
  named=$(client_named)
  [ -n "$named" ] && [ "$named" != "$client" ]
}
hear() {
  [ -e "$channels" ] || return 0
  message=$(dd "if=$channels" bs=1024 count=1 2>/dev/null | tr -d '\\000')
  case $message in
    "$one"*)
      put_flag 0 '\\000'
      case $message in
        *'<abort/>'*) orders=abort ;;
        *'<quit/>'*) orders=quit ;;
        *'<suspend/>'*) is_suspended=yes; signal_job STOP ;;
        *'<resume/>'*) is_suspended=; signal_job CONT ;;
      esac
      ;;
  esac
  silent=$((silent + 1))
  if [ "$(flag_of 4096)" = 1 ]; then
    put_flag 4096 '\\000'
    silent=0
  fi
  if is_client_gone; then orders=gone
  elif [ -z "$is_suspended" ] && [ "$silent" -ge 30 ]; then orders=gone; fi
}
tell() {
  [ -e "$channels" ] && [ "$(flag_of 5120)" = 0 ] || return 0
  printf '<current_cpu_time>%s</current_cpu_time><checkpoint_cpu_time>0</checkpoint_cpu_time><fraction_done>%s</fraction_done>\\000' "$1" "$2" |
    dd "of=$channels" bs=1 seek=5121 conv=notrunc 2>/dev/null
  put_flag 5120 '\\001'
}
# The client reads what is there when the task ends: what the task took is worth a moment.
tell_last() {
  tries=0
  while [ -e "$channels" ] && [ "$(flag_of 5120)" != 0 ] && [ "$tries" -lt 20 ]; do
    tries=$((tries + 1))
    sleep 0.1 || sleep 1
  done
  tell "$1" 0.999
}`

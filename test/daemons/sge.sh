#!/usr/bin/env bash
# sge.sh files|configure DIRECTORY SLOTS : SGE of Debian's package, inside an enclosure with a host name of its own.
#   files      puts fresh copies of its cell and spool, and a fitting /etc/hosts, in place
#   configure  a queue all.q with SLOTS slots on this host, short intervals; the master must run already
set -euo pipefail
what=$1 directory=$2 slots=$3
host=$(hostname)
export SGE_ROOT=/var/lib/gridengine SGE_CELL=default EDITOR=true

files() {
  local address
  address=$(ip -4 -o addr show dev eth0 | awk '{ sub("/.*", "", $4); print $4 }')
  cp -a /var/lib/gridengine "$directory/cell"
  cp -a /var/spool/gridengine "$directory/spool"
  # Of jobs that die with the cluster nobody removes what is in there; in /tmp it would stay.
  mkdir -m 1777 "$directory/tmp"
  printf '127.0.0.1 localhost\n%s %s\n' "$address" "$host" >"$directory/hosts"
  mount --bind "$directory/cell" /var/lib/gridengine
  mount --bind "$directory/spool" /var/spool/gridengine
  mount --bind "$directory/hosts" /etc/hosts
  echo "$host" >/var/lib/gridengine/default/common/act_qmaster
}

# A queue's limits, which all must be named.
limits() {
  local name
  for name in rt cpu fsize data stack core rss vmem; do printf 's_%s INFINITY\nh_%s INFINITY\n' "$name" "$name"; done
}

configure() {
  cd "$directory"
  qconf -as "$host"
  qconf -sconf | sed -e 's/flush_time=00:00:15/flush_time=00:00:01 accounting_flush_time=00:00:00/' \
    -e 's/^load_report_time.*/load_report_time 00:00:02/' -e 's/^min_[ug]id.*//' \
    -e 's/^max_aj_instances.*/max_aj_instances 20000/' -e 's/^finished_jobs.*/finished_jobs 5000/' \
    -e 's/^execd_params.*/execd_params KEEP_ACTIVE=ERROR/' -e '/^#/d' -e '/^$/d' >global
  printf 'min_uid 0\nmin_gid 0\n' >>global
  qconf -Mconf global
  qconf -ssconf | sed -e 's/^schedule_interval.*/schedule_interval 0:0:1/' \
    -e 's/^flush_\(submit\|finish\)_sec.*/flush_\1_sec 1/' -e 's/^job_load_adjustments.*/job_load_adjustments NONE/' \
    -e 's/^load_adjustment_decay_time.*/load_adjustment_decay_time 0:0:0/' \
    -e 's/^max_pending_tasks_per_job.*/max_pending_tasks_per_job 1000/' >scheduler
  qconf -Msconf scheduler
  printf '%s\n' 'group_name @allhosts' "hostlist $host" >group
  qconf -Ahgrp group
  cat >parallel <<'PARALLEL'
pe_name smp
slots 999
user_lists NONE
xuser_lists NONE
start_proc_args NONE
stop_proc_args NONE
allocation_rule $pe_slots
control_slaves FALSE
job_is_first_task TRUE
urgency_slots min
accounting_summary FALSE
qsort_args NONE
PARALLEL
  qconf -Ap parallel
  {
    cat <<QUEUE
qname all.q
hostlist @allhosts
seq_no 0
load_thresholds NONE
suspend_thresholds NONE
nsuspend 1
suspend_interval 00:05:00
priority 0
min_cpu_interval 00:05:00
processors UNDEFINED
qtype BATCH INTERACTIVE
ckpt_list NONE
pe_list smp
rerun FALSE
slots $slots
tmpdir $directory/tmp
shell /bin/sh
prolog NONE
epilog NONE
shell_start_mode unix_behavior
starter_method NONE
suspend_method NONE
resume_method NONE
terminate_method NONE
notify 00:00:60
owner_list NONE
user_lists NONE
xuser_lists NONE
subordinate_list NONE
complex_values NONE
projects NONE
xprojects NONE
calendar NONE
initial_state default
QUEUE
    limits
  } >queue
  qconf -Aq queue
}

"$what"

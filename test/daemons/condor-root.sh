#!/usr/bin/env bash
# condor-root.sh TREE DIRECTORY CONFIGURATION ACCOUNT-LINE GROUP-LINE : makes the Debian tree TREE the root of this
# enclosure. Changes go to DIRECTORY, so that TREE stays as it is; /tmp and the devices stay this machine's.
set -euo pipefail
tree=$1 directory=$2 configuration=$3 account=$4 group=$5
root=$directory/root
address=$(ip -4 -o addr show dev eth0 | awk '{ sub("/.*", "", $4); print $4 }')

mkdir "$directory"/{changes,work,root}
mount -t overlay -o "lowerdir=$tree,upperdir=$directory/changes,workdir=$directory/work" overlay "$root"
mount --bind /tmp "$root/tmp"
mount --rbind /dev "$root/dev"
mount --rbind /sys "$root/sys"
mount -t proc proc "$root/proc"
mount -t tmpfs -o mode=755 tmpfs "$root/run"
mkdir -p "$root"/run/{sshd,lock/condor,condor} "$root"/var/{log,spool,lib}/condor "$root"/var/lib/condor/{execute,cred_dir}
printf '127.0.0.1 localhost\n%s %s\n' "$address" "$(hostname)" >"$root/etc/hosts"
echo "$account" >>"$root/etc/passwd"
echo "${account%%:*}:*:19000:0:99999:7:::" >>"$root/etc/shadow"
echo "$group" >>"$root/etc/group"
cp "$configuration" "$root/etc/condor/config.d/99-test"

mkdir "$root/before"
cd "$root"
pivot_root . before
umount -l /before
rmdir /before
chown condor: /run/condor /run/lock/condor /var/{log,spool,lib}/condor /var/lib/condor/execute
chmod 755 /var/lib/condor/execute

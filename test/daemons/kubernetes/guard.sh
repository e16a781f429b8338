#!/usr/bin/env bash
# guard.sh STATE TREE: up.sh until standard input closes, then down.sh, and STATE is removed. So nothing of a cluster
# outlives the test that started it, however that ends. Prints what up.sh prints, or "failed".
set -u
scripts=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
{ bash "$scripts/up.sh" "$1" "$2" </dev/null || echo failed; } &
up=$!
while read -r _; do :; done
[ -z "$(jobs -pr)" ] || pkill -TERM -P "$up"
wait "$up"
bash "$scripts/down.sh" "$1"
rm -rf -- "$1"

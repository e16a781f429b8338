#!/usr/bin/env bash
# image.sh NAME ROOTFS OUT.tar [ENTRYPOINT [CMD]]: a container image (docker-archive) from a folder, without a daemon or
# a registry. ENTRYPOINT and CMD: JSON arrays or null. NAME in full, with a tag other than latest: then the kubelet's
# pull policy is IfNotPresent. Example: image.sh localhost/busybox:local rootfs out.tar null '["sh"]'
set -euo pipefail
name=$1 rootfs=$2 out=$3 entrypoint=${4:-null} command=${5:-null}
parts=$(mktemp -d)
trap 'rm -rf "$parts"' EXIT
tar --sort=name --owner=0 --group=0 --numeric-owner --mtime=@0 -C "$rootfs" -cf "$parts/layer.tar" .
sum=$(sha256sum "$parts/layer.tar" | cut -c1-64)
cat >"$parts/config.json" <<JSON
{"architecture":"$(dpkg --print-architecture)","os":"linux","created":"1970-01-01T00:00:00Z",
 "config":{"Env":["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
  "Entrypoint":$entrypoint,"Cmd":$command,"WorkingDir":"/"},
 "rootfs":{"type":"layers","diff_ids":["sha256:$sum"]},"history":[{"created":"1970-01-01T00:00:00Z"}]}
JSON
echo "[{\"Config\":\"config.json\",\"RepoTags\":[\"$name\"],\"Layers\":[\"layer.tar\"]}]" >"$parts/manifest.json"
tar -C "$parts" -cf "$out" manifest.json config.json layer.tar

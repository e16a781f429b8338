#!/usr/bin/env bash
# build.sh TREE: puts a real Kubernetes 1.20.2 (one binary), etcd, containerd, runc, the CNI plugins and two images under
# TREE, from Debian 12's packages alone. Nothing is installed on the system, nothing is started. Built once: what an
# earlier run of the same recipe made is kept. About 560 s of CPU, 2.4 GB while it builds, 204 MB in the end.
# NICE: its priority (0). KEEP_WORK=1: keep sources and build cache in TREE.building.
set -euo pipefail
# Another number here has the tree built anew; absence.ts names it too.
recipe=1
scripts=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
tree=${1:?usage: build.sh TREE}
mkdir -p "$(dirname "$tree")"
tree=$(cd "$(dirname "$tree")" && pwd)/$(basename "$tree")
building=$tree.building work=$building/work
polite=(nice -n "${NICE:-0}")

say() { echo "[$SECONDS s] $*" >&2; }
die() {
  echo "build.sh: $*" >&2
  exit 1
}

# two builds at once: the second waits, then finds it done
exec 9>"$tree.lock"
flock 9
[ ! -e "$tree/recipe-$recipe" ] || exit 0
grep -qs '^VERSION_CODENAME=bookworm' /etc/os-release || die 'needs Debian 12 (bookworm): its source package and Go 1.19'

remove() {
  [ ! -e "$1" ] || chmod -R u+w "$1"
  rm -rf "$1"
}

remove "$building"
mkdir -p "$work"/{apt/parts,apt/lists/partial,apt/cache/archives/partial,debs,root} "$building"/{bin,lib/cni,img}

# 1. packages: from the system's own Debian sources, with sources beside binaries, in a list of its own
if [ -e /etc/apt/sources.list.d/debian.sources ]; then
  sed 's/^Types:.*/Types: deb deb-src/' /etc/apt/sources.list.d/debian.sources >"$work/apt/parts/debian.sources"
else
  sed -n 's/^deb \(.*\)/deb \1\ndeb-src \1/p' /etc/apt/sources.list >"$work/apt/parts/debian.list"
fi
apt=(apt-get -q -o Dir::Etc::sourcelist=/dev/null -o Dir::Etc::sourceparts="$work/apt/parts"
  -o Dir::State::lists="$work/apt/lists" -o Dir::Cache="$work/apt/cache" -o APT::Sandbox::User=root)
"${apt[@]}" update >/dev/null
(
  cd "$work/debs"
  "${apt[@]}" download golang-1.19-go golang-1.19-src golang-github-modern-go-reflect2-dev etcd-server \
    containerd runc containernetworking-plugins busybox-static
  "${apt[@]}" source --download-only kubernetes
) >/dev/null
say downloaded
for archive in "$work"/debs/*.deb; do dpkg-deb -x "$archive" "$work/root"; done
source=$work/gopath/src/k8s.io/kubernetes
mkdir -p "$source"
tar -xzf "$work"/debs/kubernetes_*.orig.tar.gz --strip-components=1 -C "$source"

# 2. reflect2 1.0.1, as it comes, crashes on every JSON map when built by Go 1.18 or later; Debian has 1.0.2
rm -rf "$source/vendor/github.com/modern-go/reflect2"
cp -r "$work/root/usr/share/gocode/src/github.com/modern-go/reflect2" "$source/vendor/github.com/modern-go/reflect2"

# 3. the one generated file that the sources lack; GOPATH mode, since Go 1.19 refuses how this tree vendors modules
export GOROOT=$work/root/usr/lib/go-1.19 GOPATH=$work/gopath GO111MODULE=off GOFLAGS='' GOPROXY=off CGO_ENABLED=0
export GOCACHE=$work/gocache HOME=$work PATH=$work/root/usr/lib/go-1.19/bin:$PATH
cd "$source"
"${polite[@]}" go build -o "$work/openapi-gen" ./vendor/k8s.io/kube-openapi/cmd/openapi-gen
packages=$(grep -rl --include='*.go' '+k8s:openapi-gen=' pkg staging/src/k8s.io |
  grep -v -e /code-generator/ -e /sample-apiserver/ -e /sample-controller/ -e zz_generated |
  xargs -n1 dirname | sed 's,^staging/src/,vendor/,; s,^,k8s.io/kubernetes/,' | LC_ALL=C sort -u | paste -sd,)
"${polite[@]}" "$work/openapi-gen" --logtostderr -i "$packages" -p k8s.io/kubernetes/pkg/generated/openapi \
  -O zz_generated.openapi -h vendor/k8s.io/code-generator/hack/boilerplate.go.txt -r "$work/violations.report"
# the check that upstream's own build makes
cmp "$work/violations.report" api/api-rules/violation_exceptions.list
say generated

# 4. one binary for the four programs: half the size and half the time
mkdir -p cmd/hyperkube
cp "$scripts/hyperkube.go" cmd/hyperkube/main.go
# the version lives under the vendored path; without it /version says v0.0.0-master
flags='-s -w'
for package in component-base client-go/pkg; do
  version=k8s.io/kubernetes/vendor/k8s.io/$package/version
  flags+=" -X $version.gitVersion=v1.20.2 -X $version.gitMajor=1 -X $version.gitMinor=20"
done
"${polite[@]}" go build -trimpath -tags providerless,dockerless -ldflags "$flags" -o "$building/bin/hyperkube" ./cmd/hyperkube
say "built hyperkube, $(stat -c %s "$building/bin/hyperkube") bytes"

# 5. the rest of the node
for program in etcd containerd containerd-shim-runc-v2 ctr; do cp "$work/root/usr/bin/$program" "$building/bin/"; done
cp "$work/root/usr/sbin/runc" "$building/bin/"
cp "$work/root/usr/lib/cni/"{bridge,host-local,loopback} "$building/lib/cni/"

# 6. two images: busybox with its applets, and pause (the pod's sandbox) made of the same file
rootfs=$work/busybox
mkdir -p "$rootfs"/{bin,tmp,etc,root}
chmod 1777 "$rootfs/tmp"
cp "$work/root/bin/busybox" "$rootfs/bin/"
for applet in $("$rootfs/bin/busybox" --list); do
  [ "$applet" = busybox ] || ln -sf busybox "$rootfs/bin/$applet"
done
echo root:x:0:0:root:/root:/bin/sh >"$rootfs/etc/passwd"
echo root:x:0: >"$rootfs/etc/group"
"$scripts/image.sh" localhost/busybox:local "$rootfs" "$building/img/busybox.tar" null '["sh"]'
"$scripts/image.sh" localhost/pause:local "$rootfs" "$building/img/pause.tar" '["/bin/busybox","sleep","2147483647"]' null

cd /
[ -n "${KEEP_WORK:-}" ] || remove "$work"
touch "$building/recipe-$recipe"
remove "$tree"
mv -T "$building" "$tree"
say "$(du -sh "$tree" | cut -f1) in $tree"

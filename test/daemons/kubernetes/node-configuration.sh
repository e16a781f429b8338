#!/usr/bin/env bash
# node-configuration.sh STATE: what the container runtime, its network and the kubelet of a real node are told.
# shellcheck disable=SC1090,SC1091,SC2154 # of STATE/settings
set -euo pipefail
. "$1/settings"
cd "$state"

cat >node/cni/10-test.conflist <<JSON
{"cniVersion": "0.4.0", "name": "test", "plugins": [{"type": "bridge", "bridge": "$bridge", "isGateway": true, "ipMasq": false,
 "ipam": {"type": "host-local", "dataDir": "$state/node/cni/addresses", "ranges": [[{"subnet": "10.244.77.0/24"}]],
  "routes": [{"dst": "0.0.0.0/0"}]}}]}
JSON

# restrict_oom_score_adj: root without CAP_SYS_RESOURCE, as in many sandboxes, may not lower oom_score_adj
cat >node/containerd.toml <<TOML
version = 2
root = "$state/node/images"
state = "$state/node/run"
disabled_plugins = ["io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.zfs", "io.containerd.snapshotter.v1.devmapper", "io.containerd.internal.v1.opt"]
[grpc]
  address = "$state/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "localhost/pause:local"
  stream_server_address = "127.0.0.1"
  stream_server_port = "0"
  disable_apparmor = true
  disable_hugetlb_controller = true
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        BinaryName = "$tree/bin/runc"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "$tree/lib/cni"
    conf_dir = "$state/node/cni"
TOML

# nodeStatusUpdateFrequency: else 10 s until it is ready
: >node/resolv.conf
cat >node/kubelet.yaml <<YAML
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
address: 127.0.0.1
port: $((port + 3))
readOnlyPort: 0
healthzBindAddress: 127.0.0.1
healthzPort: $((port + 4))
authentication: {anonymous: {enabled: true}, webhook: {enabled: false}}
authorization: {mode: AlwaysAllow}
cgroupDriver: cgroupfs
cgroupRoot: /$cgroup
failSwapOn: false
makeIPTablesUtilChains: false
resolvConf: $state/node/resolv.conf
imageGCHighThresholdPercent: 100
evictionHard: {memory.available: "100Mi", nodefs.available: "0%", nodefs.inodesFree: "0%", imagefs.available: "0%"}
nodeStatusUpdateFrequency: 1s
kubeAPIQPS: 100
kubeAPIBurst: 200
eventRecordQPS: 0
registryPullQPS: 0
serializeImagePulls: false
maxPods: 110
YAML

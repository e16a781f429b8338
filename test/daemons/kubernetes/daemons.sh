#!/usr/bin/env bash
# daemons.sh STATE: runs the programs of a cluster. With a node this is process 1 of a process namespace: when it dies,
# so does everything in there. A program that ends is started again after a second, unless a test made stopped/PROGRAM.
# shellcheck disable=SC1090,SC1091,SC2154 # of STATE/settings
set -u
cd "$1" || exit 1
. ./settings
export PATH=$tree/bin:$PATH

if [ -n "$node" ]; then
  # places that kubelet and containerd have by heart, private to this mount namespace
  mount --bind node/log /var/log
  mount --bind node/lib /var/lib
  mount -t tmpfs -o mode=755 tmpfs /run
  mkdir -p /var/log/{pods,containers} /run/{containerd,netns,lock} node/tmp
  # A runc that is killed leaves a file here.
  export TMPDIR=$state/node/tmp
  # settings of the whole machine that kubelet and network plugin would change: they write into a copy
  for each in vm/overcommit_memory vm/panic_on_oom kernel/panic kernel/panic_on_oops net/ipv4/ip_forward; do
    copy=node/constant/${each##*/}
    cat "/proc/sys/$each" >"$copy"
    mount --bind "$copy" "/proc/sys/$each"
  done
fi

run() { # PROGRAM WORD...
  local program=$1
  shift
  while :; do
    while [ -e "stopped/$program" ]; do sleep 0.1; done
    "$@" >>"log/$program.log" 2>&1 </dev/null
    echo "--- ended with $?" >>"log/$program.log"
    sleep 1
  done &
}
ready() {
  curl -sf --cacert keys/authority.crt -H "Authorization: Bearer $(cat keys/admin.token)" "https://127.0.0.1:$port/readyz" -o /dev/null
}

store=http://127.0.0.1:$((port + 5)) peer=http://127.0.0.1:$((port + 6))
run etcd etcd --data-dir etcd --unsafe-no-fsync --logger zap --log-level warn \
  --listen-client-urls "$store" --advertise-client-urls "$store" \
  --listen-peer-urls "$peer" --initial-advertise-peer-urls "$peer" --initial-cluster "default=$peer"

read -ra more <<<"$api_arguments"
run kube-apiserver "$state/bin/kube-apiserver" --etcd-servers="$store" --bind-address=127.0.0.1 --secure-port="$port" \
  --advertise-address=127.0.0.1 --endpoint-reconciler-type=none --kubelet-preferred-address-types=InternalIP \
  --tls-cert-file=keys/server.crt --tls-private-key-file=keys/server.key --token-auth-file=keys/tokens.csv \
  --authorization-mode=Node,RBAC --enable-admission-plugins=NodeRestriction --allow-privileged=true \
  --service-account-key-file=keys/accounts.pub --service-account-signing-key-file=keys/accounts.key \
  --service-account-issuer=https://kubernetes.default.svc --service-cluster-ip-range=10.0.0.0/24 \
  --feature-gates=TTLAfterFinished=true "${more[@]}"

[ -z "$node" ] || run containerd containerd -c node/containerd.toml
until ready; do sleep 0.1; done

controllers=namespace,serviceaccount,serviceaccount-token,root-ca-cert-publisher,garbagecollector,podgc,nodelifecycle,job
controllers+=,cronjob,ttl-after-finished,resourcequota,persistentvolume-binder,pvc-protection,pv-protection,deployment,replicaset
read -ra more <<<"$controller_arguments"
own=kubeconfig/controllers
# pvclaimbinder-sync-period: else 15 s for each claim
run kube-controller-manager "$state/bin/kube-controller-manager" --kubeconfig="$own" --authentication-kubeconfig="$own" \
  --authorization-kubeconfig="$own" --bind-address=127.0.0.1 --port=0 --secure-port=$((port + 1)) \
  --cert-dir=keys/controllers --leader-elect=false --kube-api-qps=200 --kube-api-burst=400 --pvclaimbinder-sync-period=1s \
  --service-account-private-key-file=keys/accounts.key --root-ca-file=keys/authority.crt \
  --feature-gates=TTLAfterFinished=true --controllers="$controllers" "${more[@]}"

own=kubeconfig/scheduler
run kube-scheduler "$state/bin/kube-scheduler" --kubeconfig="$own" --authentication-kubeconfig="$own" \
  --authorization-kubeconfig="$own" --bind-address=127.0.0.1 --port=0 --secure-port=$((port + 2)) \
  --cert-dir=keys/scheduler --leader-elect=false

if [ -n "$node" ]; then
  until ctr -a containerd.sock version >/dev/null 2>&1; do sleep 0.1; done
  for each in "$tree"/img/*.tar; do ctr -a containerd.sock -n k8s.io images import "$each"; done
  run kubelet "$state/bin/kubelet" --config=node/kubelet.yaml --kubeconfig=kubeconfig/kubelet \
    --root-dir="$state/node/kubelet" --cert-dir="$state/keys/kubelet" --hostname-override=127.0.0.1 \
    --container-runtime=remote --container-runtime-endpoint="unix://$state/containerd.sock"
fi
wait

#!/usr/bin/env bash
# up.sh STATE [TREE]: starts a Kubernetes on 127.0.0.1 from the TREE that build.sh made, waits until it is ready, prints
# the path of an admin kubeconfig. STATE: a folder of its own, begun anew at each start, with a short path because of
# unix sockets, on a file system that overlayfs accepts. End it with down.sh STATE.
#   K8S_NODE=1             a real node too: needs root. Else there is none, and it runs as any user
#   K8S_PORT=26443         the API server; the next six ports are used too
#   K8S_API_ARGS           more flags for the API server, in words
#   K8S_CONTROLLER_ARGS    more flags for the controllers, in words
#   K8S_TIMEOUT=180        seconds until it gives up
#   K8S_LOCK_TIMEOUT=1200  seconds to wait for another cluster with a node, of which one runs on a machine at a time
set -euo pipefail
scripts=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
tree=${2:-/var/cache/molehill/kubernetes-1.20.2}
die() {
  echo "up.sh: $*" >&2
  exit 1
}
[ -x "$tree/bin/hyperkube" ] || die "nothing built in $tree: run scripts/install-services --kubernetes"
node=${K8S_NODE:-} port=${K8S_PORT:-26443}
[ -z "$node" ] || [ "$(id -u)" = 0 ] || die 'a node needs root'
mkdir -p "$1"
state=$(cd "$1" && pwd)
[ "${#state}" -le 64 ] || die "path too long for unix sockets: $state"
if [ -e "$state/pid" ] && kill -0 "$(cat "$state/pid")" 2>/dev/null; then die "already running in $state"; fi

if [ -n "$node" ]; then
  mkdir -p /run/lock
  exec 9>/run/lock/molehill-kubernetes-node
  # asked again and again, since a waiting flock would outlive this script
  until flock -n 9; do
    [ "$SECONDS" -le "${K8S_LOCK_TIMEOUT:-1200}" ] || die 'another cluster with a node runs on this machine and does not end'
    sleep 0.2
  done
fi
# else the API server might talk to another cluster's etcd
for each in $(seq "$port" $((port + 6))); do
  if (exec 3<>"/dev/tcp/127.0.0.1/$each") 2>/dev/null; then die "port $each is in use; set K8S_PORT"; fi
done
started=$(date +%s%N)
say() { echo "[$((($(date +%s%N) - started) / 1000000)) ms] $*" >&2; }

cd "$state"
chmod 755 .
rm -rf bin etcd keys kubeconfig log node stopped settings pid
mkdir -p bin etcd keys kubeconfig log stopped node/{images,run,kubelet,cni,log,lib,constant}
chmod 700 keys kubeconfig
for each in kube-apiserver kube-controller-manager kube-scheduler kubelet; do ln -s "$tree/bin/hyperkube" "bin/$each"; done

# One authority, a serving certificate, a key pair for tokens of service accounts; who else comes has a fixed token.
elliptic=(-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes)
{
  openssl ecparam -name prime256v1 -genkey -noout -out keys/accounts.key
  openssl ec -in keys/accounts.key -pubout -out keys/accounts.pub
  openssl req -x509 "${elliptic[@]}" -days 30 -subj /CN=test-authority -keyout keys/authority.key -out keys/authority.crt
  openssl req "${elliptic[@]}" -subj /CN=kube-apiserver -keyout keys/server.key -out keys/server.csr
  openssl x509 -req -in keys/server.csr -CA keys/authority.crt -CAkey keys/authority.key -CAcreateserial -days 30 \
    -out keys/server.crt \
    -extfile <(echo 'subjectAltName=IP:127.0.0.1,IP:10.0.0.1,DNS:localhost,DNS:kubernetes.default.svc')
} >log/openssl.log 2>&1
authority=$(base64 -w0 keys/authority.crt)
while IFS='|' read -r name user group; do
  token=$(openssl rand -hex 16)
  echo "$token,$user,$name,\"$group\"" >>keys/tokens.csv
  cat >"kubeconfig/$name" <<YAML
apiVersion: v1
kind: Config
clusters: [{name: test, cluster: {server: "https://127.0.0.1:$port", certificate-authority-data: "$authority"}}]
users: [{name: $name, user: {token: "$token"}}]
contexts: [{name: test, context: {cluster: test, user: $name}}]
current-context: test
YAML
done <<'USERS'
admin|admin|system:masters
controllers|system:kube-controller-manager|system:masters
scheduler|system:kube-scheduler|system:authenticated
kubelet|system:node:127.0.0.1|system:nodes
USERS
sed -n 's/,admin,.*//p' keys/tokens.csv >keys/admin.token

# of version 1 a tree for each controller, of version 2 one for all
cgroup_trees=(/sys/fs/cgroup)
[ -e /sys/fs/cgroup/cgroup.controllers ] || cgroup_trees=(/sys/fs/cgroup/*)
declare -p cgroup_trees >settings
printf '%s=%q\n' state "$state" tree "$tree" node "$node" port "$port" bridge "mh-k8s-$port" \
  cgroup "molehill-kubernetes-$port" api_arguments "${K8S_API_ARGS:-}" controller_arguments "${K8S_CONTROLLER_ARGS:-}" >>settings
[ -z "$node" ] || "$scripts/node-configuration.sh" "$state"
setsid bash "$scripts/keep.sh" "$state" </dev/null >log/keep.log 2>&1 &
keeper=$!

ask() {
  curl -s --max-time 5 --cacert keys/authority.crt -H "Authorization: Bearer $(cat keys/admin.token)" \
    "https://127.0.0.1:$port$1"
}
is_api_ready() { ask /readyz | grep -q ^ok; }
has_accounts() { ask /api/v1/namespaces/default/serviceaccounts/default | grep -q '"uid"'; }
is_node_ready() {
  local found
  found=$(ask /api/v1/nodes/127.0.0.1 | tr -d ' \n')
  [[ $found == *'"type":"Ready","status":"True"'* && $found != *'"taints"'* ]]
}
until_true() {
  until "$1"; do
    if ! kill -0 "$keeper" 2>/dev/null || [ "$SECONDS" -gt "$limit" ]; then
      tail -n 8 log/*.log >&2
      "$scripts/down.sh" "$state"
      die "did not come up: $1 is still false"
    fi
    sleep 0.1
  done
}
limit=$((SECONDS + ${K8S_TIMEOUT:-180}))
until_true is_api_ready
say 'API server ready'
until_true has_accounts
say 'controllers at work'
if [ -n "$node" ]; then
  until_true is_node_ready
  say 'node ready'
fi
echo "$state/kubeconfig/admin"

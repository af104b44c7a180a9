#!/bin/bash
# The first process of the cluster's PID namespace: network, keys, control plane, nodes. Its end is
# the end of everything that it started.
set -euo pipefail
. "$(dirname "$0")/settings.sh"
mount --make-rshared /
# The first version of control groups only; where it is the only one, nothing is mounted there.
! mountpoint --quiet /sys/fs/cgroup/unified || umount /sys/fs/cgroup/unified
mount -t tmpfs tmpfs /run
ulimit -n 20000
mkdir -p "$STATE/log"

network() {
  ip link set lo up
  ip link add br0 type bridge
  ip addr add $CONTROL/24 dev br0
  ip link set br0 up
  echo 1 >/proc/sys/net/ipv4/ip_forward
}

# Keys, tokens and who may use them -----------------------------------------------------------------

KEYS=$STATE/control
curve=(-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes)
authority() { # NAME
  openssl req -x509 "${curve[@]}" -subj "/CN=$1" -days 2 -keyout "$KEYS/$1.key" -out "$KEYS/$1.crt" 2>/dev/null
}
signed() { # NAME AUTHORITY EXTENSION
  openssl req "${curve[@]}" -subj "/CN=$1" -keyout "$KEYS/$1.key" -out "$KEYS/$1.csr" 2>/dev/null
  openssl x509 -req -in "$KEYS/$1.csr" -CA "$KEYS/$2.crt" -CAkey "$KEYS/$2.key" -CAcreateserial -days 2 \
    -extfile <(echo "$3") -out "$KEYS/$1.crt" 2>/dev/null
}
token() { head -c 16 /dev/urandom | od -An -tx1 | tr -d ' \n'; }
config() { # FILE USER [GROUP]: how a user reaches the API server
  local token
  token=$(token)
  cat >"$1" <<END
apiVersion: v1
kind: Config
clusters: [{name: test, cluster: {server: "https://$CONTROL:6443", certificate-authority: "$KEYS/ca.crt"}}]
users: [{name: test, user: {token: "$token"}}]
contexts: [{name: test, context: {cluster: test, user: test}}]
current-context: test
END
  echo "$token,$2,$2,\"${3:-}\"" >>"$KEYS/tokens.csv"
}
keys() {
  mkdir -p "$KEYS"
  openssl genrsa -out "$KEYS/accounts.key" 2048 2>/dev/null
  openssl rsa -in "$KEYS/accounts.key" -pubout -out "$KEYS/accounts.pub" 2>/dev/null
  authority ca
  authority front-ca
  local names=DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc
  signed apiserver ca "subjectAltName=IP:$CONTROL,IP:10.98.0.1,IP:127.0.0.1,$names"
  signed front front-ca "extendedKeyUsage=clientAuth"
  config "$STATE/admin.conf" admin system:masters
  config "$KEYS/controllers.conf" system:kube-controller-manager
  config "$KEYS/scheduler.conf" system:kube-scheduler
  config "$KEYS/proxy.conf" system:kube-proxy
  local node
  for node in $NODES; do
    mkdir -p "$STATE/$node"
    config "$STATE/$node/kubelet.conf" "system:node:$node" system:nodes
  done
}

control_plane() {
  local store=http://127.0.0.1:2379 peers=http://127.0.0.1:2380
  etcd --data-dir "$STATE/etcd" --unsafe-no-fsync --log-level warn \
    --listen-client-urls $store --advertise-client-urls $store \
    --listen-peer-urls $peers --initial-advertise-peer-urls $peers --initial-cluster default=$peers \
    >"$STATE/log/etcd.log" 2>&1 &
  # Aggregated routing, because there is no kube-proxy beside it; addresses, because it asks no DNS.
  kube-apiserver --etcd-servers=$store --secure-port=6443 \
    --bind-address=$CONTROL --advertise-address=$CONTROL --service-cluster-ip-range=$SERVICES \
    --tls-cert-file="$KEYS/apiserver.crt" --tls-private-key-file="$KEYS/apiserver.key" \
    --token-auth-file="$KEYS/tokens.csv" --authorization-mode=Node,RBAC --allow-privileged=true \
    --service-account-issuer=https://kubernetes.default.svc \
    --service-account-key-file="$KEYS/accounts.pub" \
    --service-account-signing-key-file="$KEYS/accounts.key" \
    --enable-aggregator-routing=true --kubelet-preferred-address-types=InternalIP \
    --requestheader-client-ca-file="$KEYS/front-ca.crt" --requestheader-allowed-names=front \
    --requestheader-username-headers=X-Remote-User --requestheader-group-headers=X-Remote-Group \
    --requestheader-extra-headers-prefix=X-Remote-Extra- \
    --proxy-client-cert-file="$KEYS/front.crt" --proxy-client-key-file="$KEYS/front.key" \
    >"$STATE/log/apiserver.log" 2>&1 &
  until kubectl get --raw /readyz >/dev/null 2>&1; do sleep 0.2; done
  # The autoscaler looks often, so that tests need not wait.
  kube-controller-manager --kubeconfig="$KEYS/controllers.conf" --leader-elect=false \
    --service-account-private-key-file="$KEYS/accounts.key" --use-service-account-credentials \
    --root-ca-file="$KEYS/ca.crt" --flex-volume-plugin-dir="$STATE/flex" \
    --horizontal-pod-autoscaler-sync-period=5s \
    --horizontal-pod-autoscaler-initial-readiness-delay=5s \
    --horizontal-pod-autoscaler-cpu-initialization-period=10s >"$STATE/log/controllers.log" 2>&1 &
  kube-scheduler --kubeconfig="$KEYS/scheduler.conf" --leader-elect=false \
    >"$STATE/log/scheduler.log" 2>&1 &
  kubectl create clusterrolebinding proxy \
    --clusterrole=system:node-proxier --user=system:kube-proxy >/dev/null
}

nodes() {
  local node number=0 processes=()
  for node in $NODES; do
    number=$((number + 1))
    unshare --mount --net bash "$HERE/node.sh" "$node" "$number" >"$STATE/log/$node.log" 2>&1 &
    processes+=($!)
    echo $! >"$STATE/$node/pid"
    until [[ -e $STATE/$node/namespace ]]; do sleep 0.05; done
    ip link add "to-$node" type veth peer name eth0 netns "${processes[-1]}"
    ip link set "to-$node" master br0 up
    ip route add "10.244.$number.0/24" via "10.99.0.$((10 + number))"
    touch "$STATE/$node/link"
  done
  kubectl apply --filename="$HERE/system.yaml" >/dev/null
  for node in $NODES; do
    kubectl wait --for=create "node/$node" --timeout=60s
    kubectl wait --for=condition=Ready "node/$node" --timeout=60s
  done
  policies "${processes[@]}" >"$STATE/log/policies.log" 2>&1 &
}

network
keys
control_plane
nodes
touch "$STATE/ready"
# Whatever else is left to the first process ends here; how it ended is its own affair.
while true; do
  wait -n || true
  sleep 1
done

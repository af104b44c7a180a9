#!/bin/bash
# One node in its own mount and network namespaces: containerd, kubelet, kube-proxy.
set -euo pipefail
. "$(dirname "$0")/settings.sh"
node=$1 number=$2 OWN=$STATE/$1
touch "$OWN/namespace"
until [[ -e $OWN/link ]]; do sleep 0.05; done

mounts() {
  mount --make-rshared /
  mount -t tmpfs tmpfs /run
  mount -t tmpfs tmpfs /var/log
  mkdir -p "$OWN"/{containerd,kubelet,cni,lib,lib-work} /run/netns /var/log/pods
  # kubelet's socket for devices and the cache of the network plugins have fixed places there; the
  # machine's own stays as it is.
  mount -t overlay overlay -o "lowerdir=/var/lib,upperdir=$OWN/lib,workdir=$OWN/lib-work" /var/lib
  mkdir -p /var/lib/kubelet
  mount --bind "$OWN/kubelet" /var/lib/kubelet
}

network() {
  ip link set lo up
  ip addr add "10.99.0.$((10 + number))/24" dev eth0
  ip link set eth0 up
  ip route add default via $CONTROL
  local other=0 name
  for name in $NODES; do
    other=$((other + 1))
    [[ $name == "$node" ]] || ip route add "10.244.$other.0/24" via "10.99.0.$((10 + other))"
  done
  echo 1 >/proc/sys/net/ipv4/ip_forward
  echo 1 >/proc/sys/net/ipv4/conf/all/route_localnet
}

groups() {
  local root group file
  for root in /sys/fs/cgroup/*/; do mkdir -p "$root$GROUP/$node"; done
  # Made without processors and memory nodes, in which no process can run.
  for group in "$GROUP" "$GROUP/$node"; do
    for file in cpuset.cpus cpuset.mems; do
      cat "/sys/fs/cgroup/cpuset/$file" >"/sys/fs/cgroup/cpuset/$group/$file"
    done
  done
}

fill() { # FILE: its content with this node's values
  sed -e "s|@OWN@|$OWN|g" -e "s|@STATE@|$STATE|g" -e "s|@PROGRAMS@|$PROGRAMS|g" \
    -e "s|@node@|$node|g" -e "s|@number@|$number|g" -e "s|@GROUP@|$GROUP|g" \
    -e "s|@DNS@|$DNS|g" -e "s|@PODS@|$PODS|g" "$HERE/$1"
}

mounts
network
groups
fill containerd.toml >"$OWN/containerd.toml"
fill kubelet.yaml >"$OWN/kubelet.yaml"
fill proxy.yaml >"$OWN/proxy.yaml"
fill cni.conflist >"$OWN/cni/10-pods.conflist"
echo 'nameserver 127.0.0.1' >"$OWN/resolv.conf"
containerd --config "$OWN/containerd.toml" >"$STATE/log/$node-containerd.log" 2>&1 &
until ctr --address /run/containerd.sock version >/dev/null 2>&1; do sleep 0.1; done
for image in "$PROGRAMS"/images/*.tar; do
  ctr --address /run/containerd.sock --namespace k8s.io images import "$image"
done
kubelet --config="$OWN/kubelet.yaml" --kubeconfig="$OWN/kubelet.conf" --hostname-override="$node" \
  --node-ip="10.99.0.$((10 + number))" --node-labels="topology.kubernetes.io/zone=z$number" \
  >"$STATE/log/$node-kubelet.log" 2>&1 &
kube-proxy --config="$OWN/proxy.yaml" >"$STATE/log/$node-proxy.log" 2>&1 &
# The log says how one of them ended.
while true; do
  wait -n || true
  sleep 1
done

# What the scripts of the cluster share. STATE holds everything that it writes, PROGRAMS what
# make engines put together.
: "${STATE:?folder of the cluster}" "${PROGRAMS:?folder of its programs}"
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
CONTROL=10.99.0.1 # API server; the bridge between the nodes
NODES="n1 n2"     # n1 is 10.99.0.11 with pods in 10.244.1.0/24, and so on
SERVICES=10.98.0.0/16 DNS=10.98.0.10 PODS=10.244.0.0/16
GROUP=slipway-$(basename "$STATE") # of the nodes' control groups
export PATH=$PROGRAMS/bin:$PROGRAMS/debian/usr/bin:/usr/sbin:/usr/bin:/sbin:/bin
export KUBECONFIG=$STATE/admin.conf STATE PROGRAMS

// policies enforces networking.k8s.io/v1 NetworkPolicies in the test cluster.
//
// It watches pods, namespaces and policies, writes one nftables table and puts
// it into the network namespace of every node (netpol PID...: a process in each).
// Pod traffic must be routed (CNI plugin ptp), so that the forward hook sees it.
// IPv4 only; a node's own processes (kubelet's probes) always reach its pods.
package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"sort"
	"strings"
	"time"

	core "k8s.io/api/core/v1"
	net "k8s.io/api/networking/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
)

type state struct {
	pods       []*core.Pod
	namespaces map[string]labels.Set
	policies   []*net.NetworkPolicy
}

func matches(selector *meta.LabelSelector, set map[string]string) bool {
	s, err := meta.LabelSelectorAsSelector(selector)
	return err == nil && s.Matches(labels.Set(set))
}

// peerIPs are the addresses of the pods that a peer selects.
func (s *state) peerPods(namespace string, peer net.NetworkPolicyPeer) []*core.Pod {
	var found []*core.Pod
	for _, pod := range s.pods {
		if peer.NamespaceSelector == nil && pod.Namespace != namespace {
			continue
		}
		if peer.NamespaceSelector != nil && !matches(peer.NamespaceSelector, s.namespaces[pod.Namespace]) {
			continue
		}
		if peer.PodSelector == nil || matches(peer.PodSelector, pod.Labels) {
			found = append(found, pod)
		}
	}
	return found
}

func named(pod *core.Pod, name string, protocol core.Protocol) string {
	for _, c := range pod.Spec.Containers {
		for _, p := range c.Ports {
			if p.Name == name && (p.Protocol == protocol || p.Protocol == "" && protocol == core.ProtocolTCP) {
				return fmt.Sprint(p.ContainerPort)
			}
		}
	}
	return ""
}

// ports are nft matches for a rule's ports towards one pod (nil: an address block); "" is every port.
func ports(list []net.NetworkPolicyPort, to *core.Pod) []string {
	if len(list) == 0 {
		return []string{""}
	}
	var out []string
	for _, p := range list {
		protocol := core.ProtocolTCP
		if p.Protocol != nil {
			protocol = *p.Protocol
		}
		l4 := strings.ToLower(string(protocol))
		switch {
		case p.Port == nil:
			out = append(out, "meta l4proto "+l4)
		case p.Port.Type == intstr.String:
			if to != nil {
				if number := named(to, p.Port.StrVal, protocol); number != "" {
					out = append(out, l4+" dport "+number)
				}
			}
		case p.EndPort != nil:
			out = append(out, fmt.Sprintf("%s dport %d-%d", l4, p.Port.IntVal, *p.EndPort))
		default:
			out = append(out, fmt.Sprintf("%s dport %d", l4, p.Port.IntVal))
		}
	}
	return out
}

func block(side string, b *net.IPBlock) string {
	if strings.Contains(b.CIDR, ":") {
		return ""
	}
	text := fmt.Sprintf("ip %s %s", side, b.CIDR)
	if len(b.Except) > 0 {
		text += fmt.Sprintf(" ip %s != { %s }", side, strings.Join(b.Except, ", "))
	}
	return text
}

// rules are the nft lines that let through what one rule allows for pod.
func (s *state) rules(namespace string, pod *core.Pod, ingress bool, peers []net.NetworkPolicyPeer, list []net.NetworkPolicyPort) []string {
	side := "daddr"
	if ingress {
		side = "saddr"
	}
	var lines []string
	add := func(match string, to *core.Pod) {
		for _, port := range ports(list, to) {
			lines = append(lines, strings.TrimSpace(match+" "+port)+" return")
		}
	}
	own := pod
	if !ingress {
		own = nil
	}
	if len(peers) == 0 {
		if ingress {
			add("", own)
		} else {
			add("", nil)
			for _, other := range s.pods { // a named port may exist in any pod
				for _, port := range list {
					if port.Port != nil && port.Port.Type == intstr.String {
						add("ip daddr "+other.Status.PodIP, other)
						break
					}
				}
			}
		}
	}
	for _, peer := range peers {
		if peer.IPBlock != nil {
			if match := block(side, peer.IPBlock); match != "" {
				add(match, own)
			}
			continue
		}
		for _, other := range s.peerPods(namespace, peer) {
			to := own
			if !ingress {
				to = other
			}
			add(fmt.Sprintf("ip %s %s", side, other.Status.PodIP), to)
		}
	}
	return lines
}

func (s *state) table() string {
	var chains strings.Builder
	jumps := map[bool][]string{}
	for i, pod := range s.pods {
		for _, ingress := range []bool{false, true} {
			isolated, lines := false, []string{}
			for _, policy := range s.policies {
				if policy.Namespace != pod.Namespace || !matches(&policy.Spec.PodSelector, pod.Labels) {
					continue
				}
				for _, kind := range policy.Spec.PolicyTypes {
					switch {
					case kind == net.PolicyTypeIngress && ingress:
						isolated = true
						for _, rule := range policy.Spec.Ingress {
							lines = append(lines, s.rules(policy.Namespace, pod, true, rule.From, rule.Ports)...)
						}
					case kind == net.PolicyTypeEgress && !ingress:
						isolated = true
						for _, rule := range policy.Spec.Egress {
							lines = append(lines, s.rules(policy.Namespace, pod, false, rule.To, rule.Ports)...)
						}
					}
				}
			}
			if !isolated {
				continue
			}
			name := fmt.Sprintf("%s-%d", map[bool]string{true: "in", false: "out"}[ingress], i)
			jumps[ingress] = append(jumps[ingress], pod.Status.PodIP+" : jump "+name)
			fmt.Fprintf(&chains, "\tchain %s { # %s/%s\n\t\t%s\n\t}\n", name, pod.Namespace, pod.Name,
				strings.Join(append(lines, "counter drop"), "\n\t\t"))
		}
	}
	vmap := func(side string, list []string) string {
		if len(list) == 0 {
			return ""
		}
		return "\t\tip " + side + " vmap { " + strings.Join(list, ", ") + " }\n"
	}
	return "add table inet policies\ndelete table inet policies\ntable inet policies {\n" + chains.String() +
		"\tchain forward {\n\t\ttype filter hook forward priority 10; policy accept;\n\t\tct state established,related accept\n" +
		vmap("saddr", jumps[false]) + vmap("daddr", jumps[true]) + "\t}\n}\n"
}

func main() {
	config, err := clientcmd.BuildConfigFromFlags("", os.Getenv("KUBECONFIG"))
	if err != nil {
		panic(err)
	}
	factory := informers.NewSharedInformerFactory(kubernetes.NewForConfigOrDie(config), 0)
	changed := make(chan struct{}, 1)
	poke := func() {
		select {
		case changed <- struct{}{}:
		default:
		}
	}
	handler := cache.ResourceEventHandlerFuncs{AddFunc: func(any) { poke() }, UpdateFunc: func(any, any) { poke() }, DeleteFunc: func(any) { poke() }}
	pods, namespaces, policies := factory.Core().V1().Pods(), factory.Core().V1().Namespaces(), factory.Networking().V1().NetworkPolicies()
	for _, informer := range []cache.SharedIndexInformer{pods.Informer(), namespaces.Informer(), policies.Informer()} {
		informer.AddEventHandler(handler)
	}
	factory.Start(context.Background().Done())
	factory.WaitForCacheSync(context.Background().Done())
	last := ""
	for range changed {
		time.Sleep(20 * time.Millisecond) // what comes together is done together
		s := &state{namespaces: map[string]labels.Set{}}
		all, _ := pods.Lister().List(labels.Everything())
		for _, pod := range all {
			if !pod.Spec.HostNetwork && pod.Status.PodIP != "" && pod.Status.Phase != core.PodSucceeded && pod.Status.Phase != core.PodFailed {
				s.pods = append(s.pods, pod)
			}
		}
		spaces, _ := namespaces.Lister().List(labels.Everything())
		for _, space := range spaces {
			s.namespaces[space.Name] = space.Labels
		}
		s.policies, _ = policies.Lister().List(labels.Everything())
		sort.Slice(s.pods, func(i, j int) bool { return s.pods[i].UID < s.pods[j].UID })
		sort.Slice(s.policies, func(i, j int) bool { return s.policies[i].UID < s.policies[j].UID })
		text := s.table()
		if text == last {
			continue
		}
		done := true
		for _, pid := range os.Args[1:] {
			command := exec.Command("nsenter", "-t", pid, "-n", "nft", "-f", "-")
			command.Stdin = strings.NewReader(text)
			if out, err := command.CombinedOutput(); err != nil {
				fmt.Fprintf(os.Stderr, "policies: node process %s: %v: %s\n%s", pid, err, out, text)
				done = false
			}
		}
		if done {
			last = text
			fmt.Printf("%s %d pods, %d policies\n", time.Now().Format(time.StampMilli), len(s.pods), len(s.policies))
		}
	}
}

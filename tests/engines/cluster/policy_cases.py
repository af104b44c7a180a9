"""What the API says network policies do, for the harness's own enforcer to be held to.

No enforcer of others can be had on the test machine. What each case says is said in
https://kubernetes.io/docs/concepts/services-networking/network-policies and in the reference of
NetworkPolicy of networking.k8s.io/v1. There are pods with the label `role` client, other and
server in the namespaces left and right, whose label `side` is their name; all serve the ports
8080, which has the name web, 8081 and 9000.
"""

from dataclasses import dataclass

import yaml


@dataclass(frozen=True)
class Case:
    """Policies in the namespace left, as their specs, and what is possible then.

    Attributes:
        says: what the documentation says.
        specs: of the policies.
        open: source, target and port of connections that are answered.
        closed: the same of those that are not.

    """

    says: str
    specs: str
    open: tuple[tuple[str, str, int], ...] = ()
    closed: tuple[tuple[str, str, int], ...] = ()


NEAR = ("left/client", "left/server", 8080)
NEAR_OTHER = ("left/other", "left/server", 8080)
FAR = ("right/client", "left/server", 8080)
FAR_OTHER = ("right/other", "left/server", 8080)
OUT = ("left/server", "right/server", 8080)
ELSEWHERE = ("right/client", "right/server", 8080)
SERVER = "podSelector: {matchLabels: {role: server}}"
CASES = (
    Case("without a policy everything is possible", "", (NEAR, FAR, OUT, ELSEWHERE)),
    Case(
        "a policy without rules isolates what it selects from what comes in, and from nothing else",
        "{SERVER, policyTypes: [Ingress]}",
        (OUT, ELSEWHERE, ("left/client", "left/other", 8080)),
        (NEAR, FAR),
    ),
    Case(
        "an empty selector selects every pod of its namespace, and none of another one",
        "{podSelector: {}, policyTypes: [Ingress]}",
        (OUT, ELSEWHERE),
        (NEAR, FAR, ("left/client", "left/other", 8080)),
    ),
    Case(
        "isolation for what goes out leaves what comes in, and the answers to it",
        "{SERVER, policyTypes: [Egress]}",
        (NEAR, FAR, ELSEWHERE),
        (OUT, ("left/server", "left/client", 8080)),
    ),
    Case(
        "without policyTypes a policy is about what comes in",
        "{SERVER}",
        (OUT,),
        (NEAR, FAR),
    ),
    Case(
        "without policyTypes, rules for what goes out make it about that as well",
        "{SERVER, egress: [{ports: [{port: 9000}]}]}",
        (("left/server", "right/server", 9000),),
        (OUT, NEAR),
    ),
    Case("one empty rule allows everything", "{SERVER, ingress: [{}]}", (NEAR, FAR)),
    Case(
        "a selector of pods alone is one of the policy's own namespace",
        "{SERVER, ingress: [{from: [{podSelector: {matchLabels: {role: client}}}]}]}",
        (NEAR,),
        (NEAR_OTHER, FAR),
    ),
    Case(
        "a selector of namespaces alone allows each of their pods",
        "{SERVER, ingress: [{from: [{namespaceSelector: {matchLabels: {side: right}}}]}]}",
        (FAR, FAR_OTHER),
        (NEAR,),
    ),
    Case(
        "both selectors in one peer: those pods in those namespaces",
        """{SERVER, ingress: [{from: [
          {namespaceSelector: {matchLabels: {side: right}},
            podSelector: {matchLabels: {role: client}}}]}]}""",
        (FAR,),
        (FAR_OTHER, NEAR),
    ),
    Case(
        "the same selectors in two peers: either of them",
        """{SERVER, ingress: [{from: [
          {namespaceSelector: {matchLabels: {side: right}}},
          {podSelector: {matchLabels: {role: client}}}]}]}""",
        (FAR, FAR_OTHER, NEAR),
        (NEAR_OTHER,),
    ),
    Case(
        "matchExpressions select, too",
        """{SERVER, ingress: [{from: [{podSelector: {matchExpressions: [
          {key: role, operator: NotIn, values: [client]}]}}]}]}""",
        (NEAR_OTHER,),
        (NEAR,),
    ),
    Case(
        "a block of addresses allows what is in it and in none of its exceptions",
        """{SERVER, policyTypes: [Egress], egress: [{to: [
          {ipBlock: {cidr: 10.0.0.0/8, except: [10.244.0.0/16]}},
          {ipBlock: {cidr: "@right/other@/32"}}]}]}""",
        (("left/server", "right/other", 8080),),
        (OUT,),
    ),
    Case(
        "a port by its number",
        "{SERVER, ingress: [{ports: [{port: 8081}]}]}",
        (("left/client", "left/server", 8081), ("right/client", "left/server", 8081)),
        (NEAR,),
    ),
    Case(
        "a port by the name that the pod gives it",
        "{SERVER, ingress: [{ports: [{port: web}]}]}",
        (NEAR,),
        (("left/client", "left/server", 8081),),
    ),
    Case(
        "a range of ports",
        "{SERVER, ingress: [{ports: [{port: 8081, endPort: 9000}]}]}",
        (("left/client", "left/server", 8081), ("left/client", "left/server", 9000)),
        (NEAR,),
    ),
    Case(
        "a port of another protocol is another port",
        "{SERVER, ingress: [{ports: [{port: 8080, protocol: UDP}]}]}",
        (),
        (NEAR,),
    ),
    Case(
        "peers and ports of one rule must both match",
        """{SERVER, ingress: [{from: [{podSelector: {matchLabels: {role: client}}}],
          ports: [{port: 8081}]}]}""",
        (("left/client", "left/server", 8081),),
        (NEAR, ("left/other", "left/server", 8081)),
    ),
    Case(
        "policies add up",
        """- {podSelector: {}, policyTypes: [Ingress, Egress]}
- {SERVER, ingress: [{from: [{namespaceSelector: {}}]}]}
- {podSelector: {matchLabels: {role: client}}, policyTypes: [Egress], egress: [{}]}""",
        (NEAR, FAR),
        (NEAR_OTHER, OUT, ("left/client", "left/other", 8080)),
    ),
)


def policies(specs: str, addresses: dict[str, str]) -> str:
    """Return manifests of one spec or a list of them."""
    specs = specs.replace("SERVER", SERVER)
    for name, address in addresses.items():
        specs = specs.replace(f"@{name}@", address)
    read = yaml.safe_load(specs) or []
    return yaml.safe_dump_all(
        {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "NetworkPolicy",
            "metadata": {"name": f"case-{number}", "namespace": "left"},
            "spec": spec,
        }
        for number, spec in enumerate(read if isinstance(read, list) else [read])
    )

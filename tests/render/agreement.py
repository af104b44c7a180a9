"""Facts that stand in several files and must not drift apart: each check returns the problems."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from slipway.answers import ANSWERS_FILE

from tests.product import derived, pins
from tests.render.reading import documents, read_dockerfile, read_env, read_yaml, words

PROBES = ("startupProbe", "livenessProbe", "readinessProbe")
# Distroless has no versions: what it is stands in the name, and a service's Renovate adds digests.
WITHOUT_VERSIONS = re.compile(r"gcr\.io/distroless/\w+-debian\d+:nonroot|scratch")


class Service:
    """A rendered service, its files read."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        [self.answers] = read_yaml((folder / ANSWERS_FILE).read_text())
        [self.compose] = read_yaml((folder / "compose.yaml").read_text())
        [self.deployment] = read_yaml((folder / "deploy/base/deployment.yaml").read_text())
        [self.cluster_service] = read_yaml((folder / "deploy/base/service.yaml").read_text())
        self.dockerfile = read_dockerfile((folder / "Dockerfile").read_text())
        self.configuration = read_env((folder / "deploy/base/configuration.env").read_text())

    @property
    def pod(self) -> dict[str, Any]:
        found: dict[str, Any] = self.deployment["spec"]["template"]["spec"]
        return found

    @property
    def container(self) -> dict[str, Any]:
        found: dict[str, Any] = self.pod["containers"][0]
        return found

    @property
    def app(self) -> dict[str, Any]:
        found: dict[str, Any] = self.compose["services"]["app"]
        return found

    def environment(self, name: str) -> list[str]:
        """Return the values of one variable in the image's stages."""
        return [
            pairs[name] for keyword, pairs in self.dockerfile if keyword == "ENV" and name in pairs
        ]

    def instructions(self, keyword: str) -> list[str]:
        return [text for found, text in self.dockerfile if found == keyword]

    def stages(self) -> set[str]:
        return {one.split(" AS ")[1] for one in self.instructions("FROM") if " AS " in one}

    def compose_services(self) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """Yield the services of every compose file with the place they stand."""
        for path, document in documents(self.folder, "**/compose.yaml"):
            for name, service in document["services"].items():
                yield f"{path}: {name}", service


def probes(service: Service) -> list[str]:
    """The three probes ask three paths, which the code and the README know."""
    paths = {name: service.container[name]["httpGet"]["path"] for name in PROBES}
    problems = []
    if len(set(paths.values())) != len(PROBES):
        problems.append(f"two probes ask one path: {paths}")
    readme = (service.folder / "README.md").read_text()
    known = set(words_of_the_code(service))
    for name, path in paths.items():
        if service.answers["starter"] and path not in known:
            problems.append(f"{name} asks {path}, which no source file names")
        if f"`{path}`" not in readme:
            problems.append(f"{name} asks {path}, which README.md does not explain")
    return problems


def words_of_the_code(service: Service) -> Iterator[str]:
    """Yield every word of a text in the sources, whatever their language."""
    mounts = [mount.split(":")[0] for mount in service.compose["services"]["dev"]["volumes"]]
    for source in (file for mount in mounts for file in (service.folder / mount).rglob("*.*")):
        for double, single in re.findall(r'"([^"\n]*)"|\'([^\'\n]*)\'', source.read_text()):
            yield from (double or single).split()


def ports(service: Service) -> list[str]:
    """One port, from the image to the cluster."""
    port = service.answers["port"]
    [published] = service.app["ports"]
    [container_port] = service.container["ports"]
    [cluster_port] = service.cluster_service["spec"]["ports"]
    seen = {
        "Dockerfile, ENV PORT": set(service.environment("PORT")),
        "Dockerfile, EXPOSE": set(service.instructions("EXPOSE")),
        "compose.yaml, published": {published.rsplit(":", 1)[1]},
        "compose.yaml, default": set(re.findall(r"PUBLISHED_PORT:-(\d+)", published)),
        "deployment.yaml": {str(container_port["containerPort"])},
        **{file: local_ports(service.folder / file) for file in ("Makefile", "README.md")},
    }
    problems = [
        f"{place}: {found}, not {port}" for place, found in seen.items() if found != {str(port)}
    ]
    names = {service.container[name]["httpGet"]["port"] for name in PROBES}
    if names | {cluster_port["targetPort"]} != {container_port["name"]}:
        problems.append(f"the Service and the probes name other ports than {container_port}")
    return problems


def local_ports(file: Path) -> set[str]:
    """Return the ports of this machine that a text tells people to use."""
    return set(re.findall(r"127\.0\.0\.1:(\d+)", file.read_text()))


def loopback(service: Service) -> list[str]:
    """No port of this machine is open to others."""
    return [
        f"{place} publishes {port}"
        for place, one in service.compose_services()
        for port in one.get("ports", [])
        if not isinstance(port, str) or not port.startswith("127.0.0.1:")
    ]


def seconds(text: str) -> int:
    found = re.fullmatch(r"(\d+)s", text)
    assert found, f"{text} is not a whole number of seconds"
    return int(found[1])


def shutdown(service: Service) -> list[str]:
    """A stop ends in order: the edge gives up, the pod leaves, it drains, then the end."""
    numbers = derived("shutdown")
    drain = {int(value) for value in service.environment("SHUTDOWN_DRAIN_SECONDS")}
    if len(drain) != 1:
        return [f"the image's stages drain for {drain} seconds"]
    [drains] = drain
    pre_stop = service.container["lifecycle"]["preStop"]["sleep"]["seconds"]
    grace = service.pod["terminationGracePeriodSeconds"]
    stop = seconds(service.app["stop_grace_period"])
    problems = []
    if not numbers["edge_timeout"] <= drains:
        problems.append(f"the edge waits {numbers['edge_timeout']} s, a drain lasts {drains} s")
    if not pre_stop + drains < grace:
        problems.append(f"{pre_stop} + {drains} s do not fit into {grace} s of grace")
    if not drains < stop:
        problems.append(f"compose kills after {stop} s, a drain lasts {drains} s")
    return problems


def names(service: Service) -> list[str]:
    """What a service stores, and the keys to it, carry its name, so that no two share them."""
    name = service.answers["service_name"]
    database = name.replace("-", "_")
    problems = []
    for volume in service.pod["volumes"]:
        secret = volume.get("secret", {}).get("secretName", name)
        if not secret.startswith(name):
            problems.append(f"deployment.yaml: secret {secret}")
    urls = {
        "compose.yaml": service.app["environment"].get("DATABASE_URL"),
        "deploy/base/configuration.env": service.configuration.get("DATABASE_URL"),
    }
    for place, url in urls.items():
        if url is None:
            continue
        parts = urlsplit(url)
        if (parts.username, parts.path) != (database, f"/{database}") or parts.password:
            problems.append(f"{place}: {url} names another user or database than {database}")
    for place, one in service.compose_services():
        for variable in ("POSTGRES_DB", "POSTGRES_USER"):
            if one.get("environment", {}).get(variable, database) != database:
                problems.append(f"{place}: {variable} is not {database}")
    for variable in ("DATABASE_URL", "CACHE_URL"):
        host = urlsplit(service.configuration.get(variable, f"x://{name}-x")).hostname or ""
        if not host.startswith(f"{name}-"):
            problems.append(f"deploy/base/configuration.env: {variable} leads to {host}")
    return problems


def images(service: Service) -> list[str]:
    """Every image from elsewhere carries a version, which stands among the pins."""
    stages = service.stages()
    named = [
        ("Dockerfile", one.split()[0])
        for one in service.instructions("FROM")
        if one.split()[0] not in stages
    ]
    for text in [*service.instructions("COPY"), *service.instructions("RUN")]:
        for source in re.findall(r"(?:--from=|[ ,]from=)([^\s,]+)", text):
            if source not in stages:
                named.append(("Dockerfile", source))
    compose = list(service.compose_services())
    built_here = {one["image"] for _, one in compose if "build" in one}
    named += [(place, one["image"]) for place, one in compose if one["image"] not in built_here]
    problems = []
    for place, image in named:
        if WITHOUT_VERSIONS.fullmatch(image):
            continue
        repository, _, tag = image.rpartition(":")
        if not repository or "/" in tag or not re.match(r"v?\d", tag):
            problems.append(f"{place}: {image} has no version")
        elif not any(re.fullmatch(rf"{re.escape(pin)}(-[\w.-]+)?", tag) for pin in pins().values()):
            problems.append(f"{place}: {image} has a version that is no pin")
    return problems


def environments(service: Service) -> list[str]:
    """The list of environments is one: folders, Makefile, log levels and sizes."""
    expected = service.answers["environments"]
    production = service.answers["production_environments"]
    folder = service.folder / "deploy" / "environments"
    problems = []
    if sorted(path.name for path in folder.iterdir()) != sorted(expected):
        problems.append("deploy/environments holds other folders")
    makefile = (service.folder / "Makefile").read_text()
    if f"\nENVIRONMENTS := {' '.join(expected)}\n" not in makefile:
        problems.append("Makefile lists other environments")
    for name in expected:
        sizes = derived("sizes")[name in production]
        variables = read_env((folder / name / "configuration.env").read_text())
        [built] = read_yaml((folder / name / "kustomization.yaml").read_text())
        if variables != {"ENVIRONMENT": name, "LOG_LEVEL": sizes["log_level"]}:
            problems.append(f"{name}: {variables}")
        if built["components"][-2:] != ["changes", "release"]:
            problems.append(f"{name}: what the service changes does not come last")
        if ("../../../observability" in built["components"]) != (name in production):
            problems.append(f"{name}: watched, or not watched, by mistake")
        if "replicas" in built or "patches" in built:
            problems.append(f"{name}: wins over what the service changes")
        found = sizes_of(service, production=name in production)
        if found != sizes["replicas"]:
            problems.append(f"{name}: {found}")
        if built["namespace"] != f"{service.answers['service_name']}-{name}":
            problems.append(f"{name}: namespace {built['namespace']}")
    return problems


def sizes_of(service: Service, *, production: bool) -> dict[str, int]:
    """Return the least and the most pods of an environment: the base's or its patch."""
    [scaler] = read_yaml((service.folder / "deploy/base/autoscaler.yaml").read_text())
    if not production:
        file = service.folder / "deploy/components/small/kustomization.yaml"
        [component] = read_yaml(file.read_text())
        patches = [one for each in component["patches"] for one in read_yaml(each["patch"])]
        [scaler] = [one for one in patches if one["kind"] == "HorizontalPodAutoscaler"]
    return {"min": scaler["spec"]["minReplicas"], "max": scaler["spec"]["maxReplicas"]}


def edge(service: Service) -> list[str]:
    """The edge gives up when the numbers of a stop say so, at the service's own port."""
    seconds_of_the_edge = f"{derived('shutdown')['edge_timeout']}s"
    [port] = service.cluster_service["spec"]["ports"]
    problems = []
    kind = service.answers["edge"]
    routes = list(service.folder.glob("deploy/environments/*/http-route.yaml"))
    ingresses = list(service.folder.glob("deploy/environments/*/ingress.yaml"))
    wanted = len(service.answers["environments"])
    if (len(routes), len(ingresses)) != (
        wanted * (kind == "gateway"),
        wanted * (kind == "ingress"),
    ):
        problems.append(f"{kind}: {routes} {ingresses}")
    hosts = []
    for file in routes:
        [route] = read_yaml(file.read_text())
        [rule] = route["spec"]["rules"]
        [backend] = rule["backendRefs"]
        hosts += route["spec"]["hostnames"]
        if rule["timeouts"] != {"request": seconds_of_the_edge}:
            problems.append(f"{file}: {rule['timeouts']}, not {seconds_of_the_edge}")
        if backend != {"name": service.answers["service_name"], "port": port["port"]}:
            problems.append(f"{file}: {backend}")
    for file in ingresses:
        text = file.read_text()
        [ingress] = read_yaml(text)
        [rule] = ingress["spec"]["rules"]
        [tls] = ingress["spec"]["tls"]
        hosts.append(rule["host"])
        if tls["hosts"] != [rule["host"]]:
            problems.append(f"{file}: a certificate for {tls['hosts']}")
        if f"at most {seconds_of_the_edge.removesuffix('s')} s" not in text:
            problems.append(f"{file}: the controller is not told {seconds_of_the_edge}")
    domain = service.answers["domain"]
    if hosts and (hosts.count(domain), len(set(hosts))) != (1, wanted):
        problems.append(f"two environments answer to one name: {hosts}")
    return problems


def flags(service: Service) -> list[str]:
    """The service asks flagd where it listens, and flagd reads the file that compose reads."""
    url = service.configuration.get("FLAGS_URL")
    if not service.answers["feature_flags"]:
        return [f"FLAGS_URL={url} without flags"] if url else []
    folder = service.folder / "deploy/flags"
    [patch] = read_yaml((folder / "flagd.yaml").read_text())
    [sidecar] = patch["spec"]["template"]["spec"]["initContainers"]
    local = service.compose["services"]["flags"]
    asked = service.app["environment"]["FLAGS_URL"]
    problems = []
    [port] = re.findall(r":(\d+)\}", asked)
    if url != f"http://127.0.0.1:{port}":
        problems.append(f"FLAGS_URL={url} in a cluster, {asked} here")
    if (sidecar["image"], sidecar["args"]) != (local["image"], local["command"]):
        problems.append(f"flagd runs as {sidecar['image']} {sidecar['args']}")
    # A linter that reads the patch alone does not see what the pod says.
    if sidecar["securityContext"] != {**service.container["securityContext"], "runAsNonRoot": True}:
        problems.append(f"flagd may do {sidecar['securityContext']}")
    return problems


def hardening(service: Service) -> list[str]:
    """The image runs on this machine with the rights and limits that production gives it."""
    pod, container, app = service.pod["securityContext"], service.container, service.app
    rights = container["securityContext"]
    limits = container["resources"]["limits"]
    local = app["deploy"]["resources"]["limits"]
    production_stage = service.dockerfile[
        max(n for n, (k, text) in enumerate(service.dockerfile) if k == "FROM") :
    ]
    users = [text for keyword, text in production_stage if keyword == "USER"]
    pairs = {
        "user": ({app["user"]} | set(users), {f"{pod['runAsUser']}:{pod['runAsGroup']}"}),
        "read-only root": (app["read_only"], rights["readOnlyRootFilesystem"]),
        "capabilities": (app["cap_drop"], rights["capabilities"]["drop"]),
        "new privileges": (
            "no-new-privileges:true" in app["security_opt"],
            not rights["allowPrivilegeEscalation"],
        ),
        "cpu": (str(local["cpus"]), str(limits["cpu"])),
        "memory": (local["memory"], limits["memory"].removesuffix("i")),
    }
    return [
        f"{name}: {here} here, {there} there"
        for name, (here, there) in pairs.items()
        if here != there
    ]


def entry_points(service: Service) -> list[str]:
    """The image's programs start without a shell, and the health check is one of them."""
    problems = [
        f"Dockerfile: {keyword} {text} is not in exec form"
        for keyword, text in service.dockerfile
        if keyword in ("ENTRYPOINT", "CMD") and not text.startswith("[")
    ]
    [check] = service.instructions("HEALTHCHECK")
    asked = words(check[check.index("CMD") + 3 :])
    entry = words(service.instructions("ENTRYPOINT")[-1])
    program = [word for word in entry if not word.startswith("--")]
    if asked != [*program, "healthcheck"]:
        problems.append(f"Dockerfile: the health check {asked} is not a program of {entry}")
    return problems


def telemetry(service: Service) -> list[str]:
    """What the service sends goes where the collector listens."""
    [collector] = read_yaml((service.folder / "observability/collector.yaml").read_text())
    protocols = collector["receivers"]["otlp"]["protocols"]
    listens = re.findall(r":(\d+)\}?$", protocols["http"]["endpoint"])
    makefile = (service.folder / "Makefile").read_text()
    sent = re.findall(r"http://collector:(\d+)", makefile)
    sent.append(str(urlsplit(service.configuration["OTEL_EXPORTER_OTLP_ENDPOINT"]).port))
    problems = [f"a service sends to {port}" for port in sent if [port] != listens]
    for place, one in service.compose_services():
        if place.endswith(": collector") and [p.rsplit(":", 1)[1] for p in one["ports"]] != listens:
            problems.append(f"{place} publishes {one['ports']}")
    return problems


CHECKS = [
    *(probes, ports, loopback, shutdown, names, images, environments, hardening, entry_points),
    *(telemetry, edge, flags),
]

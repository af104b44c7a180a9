"""A service's PostgreSQL and Redis, in a namespace of their own, each with a neighbour."""

from tests.engines.fixtures.cluster import Cluster
from tests.engines.fixtures.docker import Docker
from tests.engines.standins import template_pins

STORES = "stores"
# Of a database that ends with the test.
PASSWORD = "by-the-test-only"  # noqa: S105
# A neighbour in each pod listens on ports that are none of the store's.
NEIGHBOUR = "9000"
MANIFESTS = f"""
apiVersion: v1
kind: Pod
metadata: {{name: postgres, labels: {{app: postgres}}}}
spec:
  terminationGracePeriodSeconds: 0
  containers:
    - name: postgres
      image: docker.io/library/postgres:loaded
      args: ["-c", "fsync=off"]
      env:
        - {{name: POSTGRES_USER, value: owner}}
        - {{name: POSTGRES_DB, value: signups}}
        - {{name: POSTGRES_PASSWORD, value: "{PASSWORD}"}}
      readinessProbe:
        exec: {{command: [pg_isready, --host=localhost]}}
        periodSeconds: 1
      volumeMounts: [{{name: data, mountPath: /var/lib/postgresql}}]
    - {{name: neighbour, image: "localhost/probe:test", args: [serve, "{NEIGHBOUR}", "6379"]}}
  volumes: [{{name: data, emptyDir: {{}}}}]
---
apiVersion: v1
kind: Pod
metadata: {{name: redis, labels: {{app: redis}}}}
spec:
  terminationGracePeriodSeconds: 0
  containers:
    - name: redis
      image: docker.io/library/redis:loaded
      readinessProbe: {{tcpSocket: {{port: 6379}}, periodSeconds: 1}}
    - {{name: neighbour, image: "localhost/probe:test", args: [serve, "{NEIGHBOUR}", "5432"]}}
---
apiVersion: v1
kind: Service
metadata: {{name: postgres}}
spec: {{selector: {{app: postgres}}, ports: [{{port: 5432}}]}}
---
apiVersion: v1
kind: Service
metadata: {{name: redis}}
spec: {{selector: {{app: redis}}, ports: [{{port: 6379}}]}}
"""


class Stores:
    """The namespace with a service's stores."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster

    def start(self, docker: Docker) -> None:
        """Start them, with a user for the service, and wait until they are ready."""
        pins = template_pins()
        for name in ("postgres", "redis"):
            self.cluster.load(docker, f"{name}:{pins[name]}", f"library/{name}")
        self.cluster.namespace(STORES)
        self.cluster.apply(MANIFESTS, namespace=STORES)
        self.cluster.kubectl("wait", "--for=condition=Ready", "pod", "--all", namespace=STORES)
        self.sql("CREATE USER signups; ALTER DATABASE signups OWNER TO signups")
        self.set_password(PASSWORD)

    def stop(self) -> None:
        """End them, with what they keep."""
        self.cluster.kubectl("delete", "namespace", STORES, timeout=180)

    def sql(self, statements: str) -> list[str]:
        """Run statements as the owner of the server, and return the lines of the answer."""
        psql = ("psql", "--username=owner", "--dbname=signups", "--tuples-only", "--no-align")
        said = self.cluster.kubectl(
            *("exec", "--stdin", "postgres", "--container=postgres", "--"),
            *(*psql, "--quiet", "--set=ON_ERROR_STOP=1"),
            namespace=STORES, standard_input=statements,
        ).stdout  # fmt: skip
        return said.split("\n")[:-1]

    def set_password(self, password: str) -> None:
        """Change the password of the service's user."""
        self.sql(f"ALTER USER signups PASSWORD '{password}'")

    def disconnect(self) -> None:
        """End every connection of the service."""
        self.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'signups'")

    def address(self, pod: str) -> str:
        """Return the address of a store."""
        return self.cluster.address(pod, STORES)

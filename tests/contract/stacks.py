"""The table of stacks: everything that the tests know about a language stands in its row."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Mutation:
    """A fault put into a starter on purpose, for the suite to notice."""

    file: str
    old: str
    new: str
    noticed_by: str = ""

    def apply(self, service: Path) -> None:
        """Change the file of a rendered service."""
        path = service / self.file
        source = path.read_text()
        assert source.count(self.old) == 1, f"{self.file} holds {self.old!r} not exactly once"
        path.write_text(source.replace(self.old, self.new))


@dataclass(frozen=True)
class Stack:
    """One language.

    Attributes:
        name: the answer to the question `stack`.
        lock: the lock file, from the service's root.
        context: what the build may see, by the first part of its path.
        not_shipped: names of files and folders that a production image must not hold.
        runtime_metrics: metrics that only this runtime emits.
        dependency_steps: commands of the Dockerfile that an edit must not run again.
        shipped: in the build stage, the production dependencies and the application.
        edit: a harmless change to a source, seen from outside in the answer of `/livez`.
        broken_test: a change that makes a unit test fail.
        liveness_fault: makes `/livez` ask the store.
        mutations: faults in the signals, by what is broken.
        shutdown_faults: faults in the end of the service, by what is broken.

    """

    name: str
    lock: str
    context: frozenset[str]
    not_shipped: frozenset[str]
    runtime_metrics: frozenset[str]
    dependency_steps: tuple[str, ...]
    shipped: tuple[str, ...]
    edit: Mutation
    broken_test: Mutation
    liveness_fault: Mutation
    mutations: Mapping[str, Mutation] = field(default_factory=dict)
    shutdown_faults: Mapping[str, Mutation] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.name


PYTHON = Stack(
    name="python",
    lock="uv.lock",
    context=frozenset({"pyproject.toml", "uv.lock", "src", "tests"}),
    not_shipped=frozenset({"pytest", "mypy", "ruff", "test_settings.py"}),
    runtime_metrics=frozenset(
        {"process.memory.usage", "process.cpu.time", "cpython.gc.collections"}
    ),
    dependency_steps=("uv sync --locked",),
    shipped=("/venv/lib/python3.13/site-packages", "/app/src"),
    edit=Mutation("src/app/api.py", '"status": "ok"', '"status": "edited"'),
    broken_test=Mutation("src/app/api.py", '"status": "ok"', '"status": "broken"'),
    liveness_fault=Mutation(
        "src/app/api.py",
        "async def livez() -> dict[str, str]:\n",
        "async def livez(service: Services) -> dict[str, str]:\n    await service.store.check()\n",
    ),
    mutations={
        "metric under another name": Mutation(
            "src/app/telemetry.py",
            '"http.server.request.duration": _HTTP',
            '"http.server.duration": _HTTP',
            "durations_are_counted_by_route",
        ),
        "path in spans": Mutation(
            "src/app/telemetry.py",
            '"url.scheme", "network.protocol.version", "error.type",',
            '"url.scheme", "network.protocol.version", "error.type", "url.path",',
            "nothing_personal_comes_out",
        ),
        "mail in a log line": Mutation(
            "src/app/api.py",
            'telemetry.count("signups")',
            '__import__("logging").getLogger("app").info(new.email)',
            "nothing_personal_comes_out",
        ),
        "log lines without their trace": Mutation(
            "src/app/telemetry.py",
            "if context.is_valid:",
            "if False:",
            "each_request_is_logged_once",
        ),
        "health in every signal": Mutation(
            "src/app/telemetry.py",
            "HEALTH = frozenset({",
            "HEALTH = frozenset() and frozenset({",
            "health_is_silent",
        ),
        "counter that forgets": Mutation(
            "src/app/api.py",
            'telemetry.count("signups")',
            "pass",
            "business_metrics_count",
        ),
        "counter that starts late": Mutation(
            "src/app/telemetry.py",
            "_counters[name].add(0)",
            "pass",
            "business_metrics_count",
        ),
    },
    shutdown_faults={
        "exits at once": Mutation(
            "src/app/server.py",
            "        if self._service.draining:",
            "        os._exit(0)\n        if self._service.draining:",
        ),
        "does not flush": Mutation("src/app/server.py", "telemetry.shutdown()", "pass"),
    },
)

NODE = Stack(
    name="node",
    lock="pnpm-lock.yaml",
    context=frozenset({"package.json", "pnpm-lock.yaml", "src", "tests", "tsconfig.json"}),
    not_shipped=frozenset({"@biomejs", "@types", "typescript", "api.test.ts", "api.test.js"}),
    runtime_metrics=frozenset(
        {
            "process.memory.usage",
            "process.cpu.time",
            "nodejs.eventloop.utilization",
            "v8js.memory.heap.used",
        }
    ),
    dependency_steps=("pnpm install --frozen-lockfile",),
    shipped=("/production/node_modules", "/app/dist/src"),
    edit=Mutation("src/api.ts", 'status: "ok"', 'status: "edited"'),
    broken_test=Mutation("src/api.ts", 'status: "ok"', 'status: "broken"'),
    liveness_fault=Mutation(
        "src/api.ts",
        'app.get("/livez", async () => OK);',
        'app.get("/livez", async () => {\n\t\tawait service.store.check();\n\t\treturn OK;\n\t});',
    ),
    mutations={
        "metric under another name": Mutation(
            "src/telemetry.ts",
            'createHistogram("http.server.request.duration"',
            'createHistogram("http.server.duration"',
            "durations_are_counted_by_route",
        ),
        "path in spans": Mutation(
            "src/telemetry.ts",
            "{ kind: SpanKind.SERVER, attributes: common }",
            "{ kind: SpanKind.SERVER, attributes: { ...common,"
            ' ...(SPANS.add("url.path") && { "url.path": request.url }) } }',
            "nothing_personal_comes_out",
        ),
        "mail in a log line": Mutation(
            "src/api.ts",
            'count("signups");',
            '(await import("./telemetry.ts")).log.info(body.email);',
            "nothing_personal_comes_out",
        ),
        "log lines without their trace": Mutation(
            "src/telemetry.ts",
            "isSpanContextValid(active) && {",
            'isSpanContextValid(active) && active.traceId === "" && {',
            "each_request_is_logged_once",
        ),
        "health in every signal": Mutation(
            "src/telemetry.ts",
            'HEALTH = new Set(["/livez", "/readyz", "/startupz"])',
            "HEALTH = new Set<string>()",
            "health_is_silent",
        ),
        "counter that forgets": Mutation(
            "src/api.ts",
            'count("signups");',
            "",
            "business_metrics_count",
        ),
        "counter that starts late": Mutation(
            "src/telemetry.ts",
            "counter.add(0);",
            "",
            "business_metrics_count",
        ),
    },
    shutdown_faults={
        "exits at once": Mutation(
            "src/server.ts",
            "await signal();",
            "await signal();\n\tif (service.started) process.exit(0);",
        ),
        "does not flush": Mutation(
            "src/server.ts",
            "await shutdown();\n\treturn 0;",
            "return 0;",
        ),
    },
)

GO = Stack(
    name="go",
    lock="go.sum",
    context=frozenset({"cmd", "go.mod", "go.sum", "internal", "scripts"}),
    not_shipped=frozenset({"go", "gofmt", "staticcheck", "main_test.go", "go.mod"}),
    runtime_metrics=frozenset({"process.memory.usage", "process.cpu.time", "go.memory.used"}),
    dependency_steps=("go mod download",),
    shipped=("/out/app",),
    edit=Mutation("internal/api/api.go", '"status": "ok"', '"status": "edited"'),
    broken_test=Mutation("internal/api/api.go", '"status": "ok"', '"status": "broken"'),
    liveness_fault=Mutation(
        "internal/api/api.go", 'a.handle("GET /livez", alive)', 'a.handle("GET /livez", a.readyz)'
    ),
    mutations={
        "metric under another name": Mutation(
            "internal/telemetry/telemetry.go",
            '"http.server.request.duration": httpAttributes',
            '"http.server.duration": httpAttributes',
            "durations_are_counted_by_route",
        ),
        "path in spans": Mutation(
            "internal/telemetry/telemetry.go",
            '\t"url.scheme",\n',
            '\t"url.scheme", "url.path",\n',
            "nothing_personal_comes_out",
        ),
        "attributes in exemplars": Mutation(
            "internal/telemetry/telemetry.go",
            "stream.ExemplarReservoirProviderSelector = bareExemplars",
            "",
            "exemplars_carry_no_attributes",
        ),
        "mail in a log line": Mutation(
            "internal/api/api.go",
            'telemetry.Count(ctx, "signups")',
            "slog.Info(wanted.Email)",
            "nothing_personal_comes_out",
        ),
        "log lines without their trace": Mutation(
            "internal/telemetry/telemetry.go",
            "span.IsValid()",
            "!span.IsValid()",
            "each_request_is_logged_once",
        ),
        "health in every signal": Mutation(
            "internal/telemetry/telemetry.go",
            "if health[r.URL.Path] {",
            "if false {",
            "health_is_silent",
        ),
        "counter that forgets": Mutation(
            "internal/api/api.go",
            'telemetry.Count(ctx, "signups")',
            "_ = ctx",
            "business_metrics_count",
        ),
        "counter that starts late": Mutation(
            "internal/telemetry/telemetry.go",
            "counter.Add(context.Background(), 0)",
            "_ = 0",
            "business_metrics_count",
        ),
    },
    shutdown_faults={
        "exits at once": Mutation(
            "cmd/app/serve.go", "\ts.api.Drain()\n", "\ts.api.Drain()\n\tos.Exit(0)\n"
        ),
        "does not flush": Mutation(
            "cmd/app/serve.go", "\tdefer telemetry.Shutdown(flushTime)\n", "\t_ = flushTime\n"
        ),
    },
)

STACKS = (PYTHON, NODE, GO)

import assert from "node:assert/strict";
import { test } from "node:test";
import { launch } from "./programs.ts";
import { bodyOf, serving } from "./support.ts";

const CANARY = "jane.canary@personal.example";
const PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

test("all three signals arrive, and nothing personal in them", async (t) => {
	const received = { "/v1/traces": "", "/v1/metrics": "", "/v1/logs": "" };
	const collector = await serving(t, async (request, response) => {
		// The names and texts in protobuf are plain UTF-8.
		received[request.url as keyof typeof received] += (
			await bodyOf(request)
		).toString("latin1");
		response.writeHead(200).end();
	});
	const passedOn: (string | undefined)[] = [];
	const upstream = await serving(t, async (request, response) => {
		const { traceparent, tracestate, baggage } = request.headers;
		passedOn.push(`${traceparent}`, `${tracestate}`, `${baggage}`);
		response.writeHead(201).end();
	});
	const service = await launch(t, {
		OTEL_EXPORTER_OTLP_ENDPOINT: collector,
		UPSTREAM_URL: upstream,
		SERVICE_VERSION: "1.2.3",
		OTEL_RESOURCE_ATTRIBUTES: "deployment.environment.name=test",
	});
	const headers = {
		"content-type": "application/json",
		"user-agent": CANARY,
		"x-forwarded-for": CANARY,
		traceparent: PARENT,
		tracestate: `v=${CANARY}`,
		baggage: `user=${CANARY}`,
	};

	const created = await fetch(`${service.url}/signups`, {
		method: "POST",
		headers,
		body: JSON.stringify({ email: CANARY }),
	});
	await fetch(`${service.url}/signups/${CANARY}?mail=${CANARY}`, { headers });
	await fetch(`${service.url}/${CANARY}`, { headers });
	await fetch(`${service.url}/livez?canary-of-health`, { headers });
	assert.equal(await service.stop(), 0);

	const traces = received["/v1/traces"];
	assert.ok(traces.includes("POST /signups"));
	assert.ok(traces.includes("GET /signups/{id}"));
	assert.ok(traces.includes("1.2.3"));
	assert.ok(!traces.includes("livez"));
	const metrics = received["/v1/metrics"];
	for (const name of [
		"http.server.request.duration",
		"http.server.active_requests",
		"http.client.request.duration",
		"nodejs.eventloop.utilization",
		"v8js.memory.heap.used",
		"process.memory.usage",
		"process.cpu.time",
		"app.signups",
		"app.active_users",
	])
		assert.ok(metrics.includes(name), name);
	const [, traceId] = PARENT.split("-");
	assert.match(
		created.headers.get("traceresponse") ?? "",
		RegExp(`^00-${traceId}-`),
	);
	assert.match(passedOn[0] ?? "", RegExp(`^00-${traceId}-`));
	assert.deepEqual(passedOn.slice(1), ["undefined", "undefined"]);

	const lines = service.lines();
	const access = lines.filter(({ message }) => message === "request");
	assert.deepEqual(
		access.map((line) => [
			line["http.request.method"],
			line["http.route"],
			line["http.response.status_code"],
		]),
		[
			["POST", "/signups", 201],
			["GET", "/signups/{id}", 404],
			["GET", undefined, 404],
		],
	);
	for (const line of lines) {
		assert.match(
			`${line.timestamp}`,
			/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/,
		);
		assert.equal(line.severity, "info");
		assert.equal(line["service.name"], "demo");
	}
	assert.equal(access[0]?.trace_id, traceId);
	assert.match(`${access[0]?.span_id}`, /^[0-9a-f]{16}$/);
	const everything = `${Object.values(received)}${service.stdout()}${service.stderr()}`;
	assert.ok(!everything.includes(CANARY));
	assert.ok(!everything.includes("127.0.0.1:"), "nor an address of a client");
});

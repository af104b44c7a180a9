import assert from "node:assert/strict";
import { Agent, request } from "node:http";
import { describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { freePort, launch, run } from "./programs.ts";
import { serving } from "./support.ts";

const SIGN_UP = {
	method: "POST",
	headers: { "content-type": "application/json" },
	body: JSON.stringify({ email: "a@b.example" }),
};

describe("the programs", { concurrency: true }, () => {
	test("a malformed value ends the start with one line", async (t) => {
		const program = run(t, { PORT: "80x" });

		assert.equal(await program.ended, 2);
		assert.equal(
			program.stderr(),
			'configuration: PORT: "80x" is not a port number from 1 to 65535\n',
		);
		assert.equal(program.stdout(), "");
	});

	test("an unknown program is refused", async (t) => {
		const program = run(t, {}, "serve-me");

		assert.equal(await program.ended, 2);
		assert.match(program.stderr(), /^usage: .*\n$/);
	});

	test("a port that is taken is said in one line", async (t) => {
		const taken = new URL(await serving(t, () => {})).port;
		const program = run(t, { PORT: taken });

		assert.equal(await program.ended, 1);
		assert.deepEqual(
			program.lines().map((line) => [line.severity, line["error.type"]]),
			[["error", "EADDRINUSE"]],
		);
	});

	test("the health check asks the service", async (t) => {
		const alive = await serving(t, (_, response) => response.end());
		const sick = await serving(t, (_, response) =>
			response.writeHead(500).end(),
		);
		const silent = await serving(t, () => {});
		const port = (url: string) => new URL(url).port;

		const codes = [
			port(alive),
			port(sick),
			port(silent),
			`${await freePort()}`,
		].map((PORT) => run(t, { PORT }, "healthcheck").ended);

		assert.deepEqual(await Promise.all(codes), [0, 1, 1, 1]);
	});

	test("SIGTERM: not ready at once, still answering, running requests finish, exit 0", async (t) => {
		const upstream = await serving(t, async (_, response) => {
			await sleep(1500);
			response.writeHead(201).end();
		});
		const service = await launch(t, { UPSTREAM_URL: upstream });
		const agent = new Agent({ keepAlive: true });
		const kept = await ask(service.url, agent);
		const running = fetch(`${service.url}/signups`, SIGN_UP);
		await sleep(200);

		const started = performance.now();
		const ended = service.stop();
		await sleep(200);
		const ready = await fetch(`${service.url}/readyz`);
		const late = await ask(service.url, agent);

		assert.equal(ready.status, 503);
		assert.deepEqual([kept, late], ["keep-alive", "close"]);
		assert.notEqual((await running).status, 500);
		assert.equal(await ended, 0);
		assert.ok(performance.now() - started < 3000);
		agent.destroy();
	});

	test("idle, it ends soon, without a collector too", async (t) => {
		const service = await launch(t, {
			OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${await freePort()}`,
		});
		const started = performance.now();

		assert.equal(await service.stop(), 0);
		// Far from the time that running requests may take; a busy machine needs room.
		assert.ok(performance.now() - started < 9000);
	});
});

/** Ask for something on a kept connection; what the answer says about keeping it. */
function ask(url: string, agent: Agent): Promise<string | undefined> {
	const { promise, resolve, reject } = Promise.withResolvers<
		string | undefined
	>();
	request(`${url}/livez`, { agent }, (answer) => {
		answer.resume().on("end", () => resolve(answer.headers.connection));
	})
		.on("error", reject)
		.end();
	return promise;
}

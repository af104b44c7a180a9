import assert from "node:assert/strict";
import { test } from "node:test";
import { Upstream } from "../src/upstream.ts";
import { bodyOf, NOWHERE, serviceWith, serving } from "./support.ts";

test("the same JSON is sent on", async (t) => {
	const received: unknown[] = [];
	const url = await serving(t, async (request, response) => {
		received.push(request.url, JSON.parse(`${await bodyOf(request)}`));
		response.writeHead(201).end("x".repeat(100_000));
	});
	const { post } = await serviceWith(t, { upstream: new Upstream(url) });

	const answer = await post("/signups", { email: "a@b.example" });

	assert.equal(answer.status, 201);
	assert.deepEqual(received, [
		"/signups",
		{ email: "a@b.example", plan: "free" },
	]);
});

test("an upstream that refuses, redirects or is gone costs nobody an answer", async (t) => {
	const refusing = await serving(t, (_, response) =>
		response.writeHead(500).end(),
	);
	const redirecting = await serving(t, (_, response) =>
		response.writeHead(307, { location: refusing }).end(),
	);
	for (const url of [refusing, redirecting, NOWHERE]) {
		const { post } = await serviceWith(t, { upstream: new Upstream(url) });
		const answer = await post("/signups", { email: "a@b.example" });
		assert.equal(answer.status, 201);
	}
});

test("an upstream that never answers, or never ends, is given up", async (t) => {
	const silent = await serving(t, () => {});
	const endless = await serving(t, (_, response) => {
		const timer = setInterval(() => response.write("x"), 50);
		response.on("close", () => clearInterval(timer));
	});
	const started = performance.now();

	await Promise.all(
		[silent, endless].map(async (url) => {
			const { post } = await serviceWith(t, { upstream: new Upstream(url) });
			const answer = await post("/signups", { email: "a@b.example" });
			assert.equal(answer.status, 201);
		}),
	);

	assert.ok(performance.now() - started < 3000);
});

import assert from "node:assert/strict";
import type { ServerResponse } from "node:http";
import { test } from "node:test";
import { Flags } from "../src/flags.ts";
import { bodyOf, NOWHERE, serviceWith, serving } from "./support.ts";

const SIGN_UP = { email: "a@b.example" };

function evaluated(response: ServerResponse, value: unknown) {
	response.writeHead(200, { "content-type": "application/json" });
	response.end(
		JSON.stringify({ key: "x", value, reason: "STATIC", variant: "x" }),
	);
}

// A busy machine answers in time, too.
const PATIENT = 10_000;

test("sign-ups are closed by their flag", async (t) => {
	const url = await serving(t, (_, response) => evaluated(response, false));
	const { post } = await serviceWith(t, { flags: new Flags(url, PATIENT) });

	const answer = await post("/signups", SIGN_UP);

	assert.equal(answer.status, 503);
	assert.deepEqual(await answer.json(), { error: "sign-ups are closed" });
	assert.ok(answer.headers.get("retry-after"));
});

test("welcome is asked for with the sign-up's id and nothing else", async (t) => {
	const asked: [string | undefined, unknown][] = [];
	const url = await serving(t, async (request, response) => {
		asked.push([request.url, JSON.parse(`${await bodyOf(request)}`)]);
		evaluated(response, true);
	});
	const { post } = await serviceWith(t, { flags: new Flags(url, PATIENT) });

	const { id, welcome } = (await (await post("/signups", SIGN_UP)).json()) as {
		id: string;
		welcome: boolean;
	};

	assert.equal(welcome, true);
	assert.deepEqual(asked, [
		["/ofrep/v1/evaluate/flags/signups-open", { context: {} }],
		["/ofrep/v1/evaluate/flags/welcome", { context: { targetingKey: id } }],
	]);
});

test("a provider that is gone, silent or wrong leaves the defaults", async (t) => {
	const silent = await serving(t, () => {});
	const wrong = await serving(t, (_, response) => evaluated(response, "yes"));
	for (const url of [NOWHERE, silent, wrong]) {
		const { post } = await serviceWith(t, { flags: new Flags(url) });
		const started = performance.now();
		const answer = await post("/signups", SIGN_UP);
		assert.equal(answer.status, 201);
		assert.equal(
			((await answer.json()) as { welcome: boolean }).welcome,
			false,
		);
		await post("/signups", SIGN_UP);
		assert.ok(
			performance.now() - started < 1000,
			"it is asked once in a while",
		);
	}
});

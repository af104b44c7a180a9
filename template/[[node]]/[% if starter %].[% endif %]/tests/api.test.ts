import assert from "node:assert/strict";
import { connect } from "node:net";
import { test } from "node:test";
import { StoreUnreachableError } from "../src/signups.ts";
import { MemoryStore } from "../src/store-memory.ts";
import { serviceWith } from "./support.ts";

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

test("health routes say that all is well", async (t) => {
	const { service, url } = await serviceWith(t);
	service.started = true;

	for (const path of ["/livez", "/readyz", "/startupz"]) {
		const answer = await fetch(url + path);
		assert.equal(answer.status, 200);
		assert.deepEqual(await answer.json(), { status: "ok" });
		assert.equal(answer.headers.get("traceresponse"), null);
	}
});

test("readiness is false while draining, and connections are not kept", async (t) => {
	const { service, url } = await serviceWith(t);
	service.draining = true;

	const answer = await fetch(`${url}/readyz`);

	assert.equal(answer.status, 503);
	assert.equal(answer.headers.get("connection"), "close");
	assert.equal((await fetch(`${url}/livez`)).status, 200);
	assert.equal((await fetch(`${url}/startupz`)).status, 503);
});

test("a sign-up is created, read and converted", async (t) => {
	const { service, url, post } = await serviceWith(t);

	const created = await post("/signups", { email: "a@b.example" });
	const { id, ...rest } = (await created.json()) as { id: string };
	const path = `/signups/${id}`;

	assert.equal(created.status, 201);
	assert.match(id, UUID);
	assert.equal(created.headers.get("location"), path);
	const expected = { email: "a@b.example", plan: "free", converted: false };
	assert.deepEqual(rest, { ...expected, welcome: false });
	const read = await fetch(url + path);
	assert.deepEqual(await read.json(), { id, ...expected });
	for (const _ of ["first", "again"]) {
		const converted = await post(`${path}/conversion`, "");
		assert.equal(converted.status, 200);
		assert.deepEqual(await converted.json(), {
			id,
			...expected,
			converted: true,
		});
	}
	assert.equal(service.activeUsers.count(), 1);
});

test("a conversion takes any body, or none", async (t) => {
	const { post } = await serviceWith(t);
	const created = await post("/signups", { email: "a@b.example" });
	const { id } = (await created.json()) as { id: string };

	for (const body of ["", "x=1", "{"]) {
		for (const type of ["application/json", "text/plain"]) {
			const answer = await post(`/signups/${id}/conversion`, body, {
				"content-type": type,
			});
			assert.equal(answer.status, 200);
		}
	}
});

test("every answer names its trace", async (t) => {
	const { url } = await serviceWith(t);

	const answer = await fetch(`${url}/nowhere`);

	assert.match(
		answer.headers.get("traceresponse") ?? "",
		/^00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$/,
	);
});

const JSON_TYPE = { "content-type": "application/json" };
type Refused = [
	name: string,
	method: string,
	path: string,
	headers: Record<string, string>,
	body: string | Buffer<ArrayBuffer> | undefined,
	status: number,
	error: string,
];
const REFUSED: Refused[] = [
	["unknown route", "GET", "/nowhere", {}, undefined, 404, "not found"],
	["unknown id", "GET", "/signups/x", {}, undefined, 404, "not found"],
	["broken path", "GET", "/signups/%zz", {}, undefined, 404, "not found"],
	[
		"upper-case id",
		"GET",
		"/signups/6F9619FF-8B86-4011-B42D-00C04FC964FF",
		{},
		undefined,
		404,
		"not found",
	],
	[
		"long id",
		"GET",
		`/signups/${"x".repeat(200)}`,
		{},
		undefined,
		404,
		"not found",
	],
	[
		"unknown conversion",
		"POST",
		"/signups/x/conversion",
		{},
		undefined,
		404,
		"not found",
	],
	[
		"wrong method",
		"DELETE",
		"/signups/x",
		{},
		undefined,
		405,
		"method not allowed",
	],
	[
		"not JSON",
		"POST",
		"/signups",
		{ "content-type": "text/plain" },
		"x",
		415,
		"unsupported media type",
	],
	[
		"no type",
		"POST",
		"/signups",
		{ "content-type": "" },
		"x",
		415,
		"unsupported media type",
	],
	["no body", "POST", "/signups", JSON_TYPE, "", 422, "invalid body"],
	[
		"malformed",
		"POST",
		"/signups",
		JSON_TYPE,
		'{"email":',
		400,
		"malformed JSON",
	],
	[
		"not a number",
		"POST",
		"/signups",
		JSON_TYPE,
		'{"email":NaN}',
		400,
		"malformed JSON",
	],
	[
		"not UTF-8",
		"POST",
		"/signups",
		JSON_TYPE,
		Buffer.from([0x22, 0xff, 0x22]),
		400,
		"malformed JSON",
	],
	[
		"too deep",
		"POST",
		"/signups",
		JSON_TYPE,
		"[".repeat(60_000),
		400,
		"malformed JSON",
	],
	[
		"deep",
		"POST",
		"/signups",
		JSON_TYPE,
		`${"[".repeat(30_000)}${"]".repeat(30_000)}`,
		422,
		"invalid body",
	],
	["array", "POST", "/signups", JSON_TYPE, "[]", 422, "invalid body"],
	["null", "POST", "/signups", JSON_TYPE, "null", 422, "invalid body"],
	[
		"prototype",
		"POST",
		"/signups",
		JSON_TYPE,
		'{"email":"a@b.example","__proto__":{}}',
		422,
		"invalid body",
	],
	["no mail", "POST", "/signups", JSON_TYPE, "{}", 422, "invalid email"],
	[
		"number as mail",
		"POST",
		"/signups",
		JSON_TYPE,
		'{"email":1}',
		422,
		"invalid email",
	],
	[
		"invalid mail",
		"POST",
		"/signups",
		JSON_TYPE,
		'{"email":"a@b"}',
		422,
		"invalid email",
	],
	[
		"control character",
		"POST",
		"/signups",
		JSON_TYPE,
		'{"email":"a\\u0000@b.example"}',
		422,
		"invalid email",
	],
	[
		"half a character",
		"POST",
		"/signups",
		JSON_TYPE,
		'{"email":"\\ud800@b.example"}',
		422,
		"invalid email",
	],
	[
		"long mail",
		"POST",
		"/signups",
		JSON_TYPE,
		`{"email":"${"a".repeat(250)}@b.example"}`,
		422,
		"invalid email",
	],
	[
		"unknown plan",
		"POST",
		"/signups",
		JSON_TYPE,
		'{"email":"a@b.example","plan":"x"}',
		422,
		"invalid plan",
	],
	[
		"unknown field",
		"POST",
		"/signups",
		JSON_TYPE,
		'{"email":"a@b.example","x":1}',
		422,
		"invalid body",
	],
	[
		"too large",
		"POST",
		"/signups",
		JSON_TYPE,
		" ".repeat(65_537),
		413,
		"payload too large",
	],
];

for (const [name, method, path, headers, body, status, error] of REFUSED) {
	test(`refused: ${name}`, async (t) => {
		const { url } = await serviceWith(t);

		const answer = await fetch(url + path, {
			method,
			headers,
			...(body !== undefined && { body }),
		});

		assert.equal(answer.status, status);
		assert.deepEqual(await answer.json(), { error });
	});
}

test("a body of exactly the limit is read", async (t) => {
	const { post } = await serviceWith(t);
	const json = JSON.stringify({ email: "a@b.example" });

	const answer = await post("/signups", json.padEnd(64 * 1024));

	assert.equal(answer.status, 201);
});

test("too large without a length is refused too", async (t) => {
	const { url } = await serviceWith(t);
	const chunks = async function* () {
		for (let i = 0; i < 80; i++) yield Buffer.alloc(1000, " ");
	};

	const answer = await fetch(`${url}/signups`, {
		method: "POST",
		headers: JSON_TYPE,
		body: ReadableStream.from(chunks()),
		duplex: "half",
	});

	assert.equal(answer.status, 413);
	assert.deepEqual(await answer.json(), { error: "payload too large" });
});

test("a wrong method says which are right", async (t) => {
	const { url } = await serviceWith(t);

	for (const [path, allow] of [
		["/signups", "POST"],
		["/signups/x", "GET, HEAD"],
		["/signups/x/conversion", "POST"],
	]) {
		const answer = await fetch(url + path, { method: "PATCH" });
		assert.equal(answer.headers.get("allow"), allow);
	}
});

test("what is no HTTP gets a small JSON error", async (t) => {
	const { url } = await serviceWith(t);
	const { promise, resolve } = Promise.withResolvers<string>();
	let text = "";

	const socket = connect(Number(new URL(url).port), "127.0.0.1");
	socket.on("data", (data) => {
		text += data;
	});
	socket.on("close", () => resolve(text));
	socket.write("canary\r\n\r\n");

	assert.match(
		await promise,
		/^HTTP\/1.1 400 Bad Request\r\n.*\{"error":"bad request"\}$/s,
	);
});

test("a store that is out of reach is 503, and readiness says so", async (t) => {
	class Gone extends MemoryStore {
		override async check() {
			throw new StoreUnreachableError();
		}
		override async add() {
			throw new StoreUnreachableError();
		}
	}
	const { url, post } = await serviceWith(t, { store: new Gone() });

	const answer = await post("/signups", { email: "a@b.example" });

	assert.equal(answer.status, 503);
	assert.deepEqual(await answer.json(), { error: "the store is unreachable" });
	assert.ok(answer.headers.get("retry-after"));
	assert.equal((await fetch(`${url}/readyz`)).status, 503);
	assert.equal((await fetch(`${url}/livez`)).status, 200);
});

test("an error that no one expected is 500 and says nothing", async (t) => {
	class Broken extends MemoryStore {
		override async get(): Promise<never> {
			throw new Error("canary");
		}
	}
	const { url } = await serviceWith(t, { store: new Broken() });

	const answer = await fetch(
		`${url}/signups/6f9619ff-8b86-4011-b42d-00c04fc964ff`,
	);

	assert.equal(answer.status, 500);
	assert.deepEqual(await answer.json(), { error: "internal error" });
});

test("readiness asks the store once a second, however many ask", async (t) => {
	let asked = 0;
	class Counting extends MemoryStore {
		override async check() {
			asked += 1;
		}
	}
	const { url } = await serviceWith(t, { store: new Counting() });

	await Promise.all(Array.from({ length: 20 }, () => fetch(`${url}/readyz`)));

	assert.equal(asked, 1);
});

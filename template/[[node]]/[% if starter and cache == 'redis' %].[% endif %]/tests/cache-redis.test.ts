import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { CachedStore, fromEnvironment } from "../src/cache-redis.ts";
import { MemoryStore } from "../src/store-memory.ts";
import { newSignup, storeSuite } from "./store-suite.ts";
import { silence } from "./support.ts";

const { env } = process;
const skip = env.CACHE_URL ? false : "CACHE_URL is not set";

async function cached(t: TestContext, behind = new MemoryStore()) {
	const store = fromEnvironment(env, behind);
	t.after(() => store.close());
	await sleep(200); // it connects by itself
	return store;
}

storeSuite("Redis before memory", cached, { skip });

test("what was read once comes from the cache", { skip }, async (t) => {
	const behind = new MemoryStore();
	const store = await cached(t, behind);
	const signup = newSignup();
	await store.add(signup);
	await store.get(signup.id);
	t.mock.method(behind, "get", () => assert.fail("the store was asked"));

	assert.deepEqual(await store.get(signup.id), signup);
	await store.convert(signup.id);
	assert.equal((await store.get(signup.id))?.converted, true);
});

test("the password is read for each new connection", { skip }, async (t) => {
	const file = join(mkdtempSync(join(tmpdir(), "secret-")), "password");
	writeFileSync(file, "wrong");
	const behind = new MemoryStore();
	const store = fromEnvironment({ ...env, CACHE_PASSWORD_FILE: file }, behind);
	t.after(() => store.close());
	const signup = newSignup();
	await store.add(signup);
	await sleep(300);
	const right = env.CACHE_PASSWORD_FILE;
	writeFileSync(file, right ? readFileSync(right) : "none is asked for");
	await sleep(2500); // it tries again by itself
	await store.get(signup.id);
	t.mock.method(behind, "get", () => assert.fail("the store was asked"));

	assert.deepEqual(await store.get(signup.id), signup);
});

storeSuite("a Redis that is gone before memory", (t) => {
	const store = new CachedStore(
		new MemoryStore(),
		new URL("redis://127.0.0.1:9/0"),
	);
	t.after(() => store.close());
	return store;
});

test("a Redis that says nothing costs time once in a while, never an answer", async (t) => {
	const port = await silence(t);
	const store = new CachedStore(
		new MemoryStore(),
		new URL(`redis://127.0.0.1:${port}/0`),
	);
	t.after(() => store.close());
	const signup = newSignup();
	await store.add(signup);
	const started = performance.now();

	for (let i = 0; i < 20; i++)
		assert.deepEqual(await store.get(signup.id), signup);

	assert.ok(performance.now() - started < 1000);
});

test("what something else wrote into the cache is read as nothing", {
	skip,
}, async (t) => {
	const behind = new MemoryStore();
	const store = await cached(t, behind);
	const signup = newSignup();
	await store.add({ ...signup, plan: "old" as "free" });
	await store.get(signup.id);
	await behind.add(signup);

	assert.deepEqual(await store.get(signup.id), signup);
});

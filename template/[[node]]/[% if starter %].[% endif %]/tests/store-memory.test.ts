import assert from "node:assert/strict";
import { test } from "node:test";
import { MemoryStore } from "../src/store-memory.ts";
import { newSignup, storeSuite } from "./store-suite.ts";

storeSuite("memory", () => new MemoryStore());

test("the oldest make room", async () => {
	const store = new MemoryStore();
	const first = newSignup();
	await store.add(first);
	for (let i = 0; i < MemoryStore.LIMIT; i++)
		await store.add({ ...first, id: `${i}` });

	assert.equal(await store.get(first.id), undefined);
	assert.ok(await store.get("0"));
});

import assert from "node:assert/strict";
import { test } from "node:test";
import { ActiveUsers } from "../src/signups.ts";

test("who was seen within 15 minutes is active", () => {
	let now = 0;
	const users = new ActiveUsers(() => now);
	users.saw("a");
	users.saw("b");
	now += 10 * 60_000;
	users.saw("a");
	now += 6 * 60_000;

	assert.equal(users.count(), 1);
});

test("how many are remembered is bounded", () => {
	const users = new ActiveUsers();
	for (let i = 0; i < ActiveUsers.LIMIT + 10; i++) users.saw(`${i}`);

	assert.equal(users.count(), ActiveUsers.LIMIT);
});

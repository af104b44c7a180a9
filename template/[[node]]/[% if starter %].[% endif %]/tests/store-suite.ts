/** What every store must do, whatever it keeps its data in. */

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { type TestContext, test } from "node:test";
import type { Signup, Store } from "../src/signups.ts";

export function newSignup(changes: Partial<Signup> = {}): Signup {
	const id = randomUUID();
	return {
		id,
		email: "a@b.example",
		plan: "free",
		converted: false,
		...changes,
	};
}

export function storeSuite(
	name: string,
	open: (test: TestContext) => Store | Promise<Store>,
	options: { skip?: string | false } = {},
) {
	test(`${name}: what was added is found`, options, async (t) => {
		const store = await open(t);
		const signup = newSignup({ email: "ünïcode'\"@b.example", plan: "paid" });
		await store.check();
		await store.add(signup);

		assert.deepEqual(await store.get(signup.id), signup);
		assert.deepEqual(await store.get(signup.id), signup, "a second time too");
	});

	test(`${name}: what was not added is not`, options, async (t) => {
		const store = await open(t);

		assert.equal(await store.get(randomUUID()), undefined);
		assert.equal(await store.convert(randomUUID()), undefined);
	});

	test(
		`${name}: of many conversions at once one is the first`,
		options,
		async (t) => {
			const store = await open(t);
			const signup = newSignup();
			await store.add(signup);
			await store.get(signup.id);

			const conversions = await Promise.all(
				Array.from({ length: 8 }, () => store.convert(signup.id)),
			);

			assert.equal(conversions.filter((one) => one?.first).length, 1);
			for (const one of conversions) assert.equal(one?.signup.converted, true);
			assert.equal((await store.get(signup.id))?.converted, true);
		},
	);
}

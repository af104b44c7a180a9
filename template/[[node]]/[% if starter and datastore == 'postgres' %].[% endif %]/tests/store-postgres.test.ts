import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { before, test } from "node:test";
import { migrate } from "../src/migrate.ts";
import { StoreUnreachableError } from "../src/signups.ts";
import { connectionSettings, fromEnvironment } from "../src/store-postgres.ts";
import { newSignup, storeSuite } from "./store-suite.ts";
import { silence } from "./support.ts";

const { env } = process;
const skip = env.DATABASE_URL ? false : "DATABASE_URL is not set";
const passwordFile = join(mkdtempSync(join(tmpdir(), "secret-")), "password");
writeFileSync(passwordFile, "secret\n");

before(async () => {
	if (skip) return;
	const settings = {
		PORT: "8080",
		OTEL_SERVICE_NAME: "demo",
		LOG_LEVEL: "error",
		SHUTDOWN_DRAIN_SECONDS: "20",
	};
	// Twice at once, and once more: one of them does it, and the others see that it is done.
	const both = [0, 1].map(() => migrate({ ...env, ...settings }));
	assert.deepEqual(await Promise.all(both), [0, 0]);
	assert.equal(await migrate({ ...env, ...settings }), 0);
});

storeSuite(
	"PostgreSQL",
	(t) => {
		const store = fromEnvironment(env);
		t.after(() => store.close());
		return store;
	},
	{ skip },
);

test("the password is read for each new connection", { skip }, async (t) => {
	const right = readFileSync(`${env.DATABASE_PASSWORD_FILE}`);
	const file = join(mkdtempSync(join(tmpdir(), "secret-")), "password");
	writeFileSync(file, "wrong");
	const store = fromEnvironment({ ...env, DATABASE_PASSWORD_FILE: file });
	t.after(() => store.close());

	await assert.rejects(store.check(), StoreUnreachableError);
	writeFileSync(file, "");
	await assert.rejects(store.check(), StoreUnreachableError);
	writeFileSync(file, right);
	await store.check();
});

test("a database that is gone, or says nothing, is out of reach", async (t) => {
	const port = await silence(t);
	for (const place of ["127.0.0.1:9", `127.0.0.1:${port}`]) {
		const store = fromEnvironment({
			DATABASE_URL: `postgresql://demo@${place}/demo`,
			DATABASE_PASSWORD_FILE: passwordFile,
		});
		const started = performance.now();
		await assert.rejects(store.check(), StoreUnreachableError);
		assert.ok(performance.now() - started < 1500);
		const asked = [
			store.add(newSignup()),
			store.get("x"),
			store.convert("x"),
		].map((one) => assert.rejects(one, StoreUnreachableError));
		await Promise.all(asked);
		await store.close();
	}
});

test("what the address says reaches the driver, and the password is the file's", async () => {
	const { user, host, port, database, password } = connectionSettings({
		DATABASE_URL: "postgresql://demo@db.example:6543/signups",
		DATABASE_PASSWORD_FILE: passwordFile,
	});

	assert.deepEqual(
		[user, host, port, database],
		["demo", "db.example", 6543, "signups"],
	);
	assert.ok(typeof password === "function");
	assert.equal(await password(), "secret");
});

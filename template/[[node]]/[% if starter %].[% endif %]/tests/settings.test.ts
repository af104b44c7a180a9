import assert from "node:assert/strict";
import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import {
	ConfigurationError,
	readSettings,
	secretFile,
	url,
} from "../src/settings.ts";

const VALID = {
	PORT: "8080",
	OTEL_SERVICE_NAME: "demo",
	LOG_LEVEL: "info",
	SHUTDOWN_DRAIN_SECONDS: "20",
	BUSINESS_METRICS: "signups=counter,active_users=gauge",
};

/** The text of the refusal. */
function refused(read: () => unknown): string {
	try {
		read();
	} catch (error) {
		assert.ok(error instanceof ConfigurationError);
		assert.ok(!error.message.includes("\n"));
		return error.message;
	}
	return assert.fail("was accepted");
}

test("a valid environment is read", () => {
	const settings = readSettings({
		...VALID,
		UPSTREAM_URL: "http://next:8080/",
	});

	assert.equal(settings.port, 8080);
	assert.deepEqual(
		[...settings.businessMetrics],
		[
			["signups", "counter"],
			["active_users", "gauge"],
		],
	);
	assert.equal(settings.upstreamUrl, "http://next:8080");
	assert.equal(settings.flagsUrl, undefined);
});

test("an empty optional variable is absent", () => {
	const settings = readSettings({
		...VALID,
		UPSTREAM_URL: "",
		FLAGS_URL: "",
		OTEL_TRACES_SAMPLER: "",
		BUSINESS_METRICS: "",
	});

	assert.equal(settings.upstreamUrl, undefined);
	assert.equal(settings.businessMetrics.size, 0);
});

for (const name of ["PORT", "OTEL_SERVICE_NAME", "LOG_LEVEL"]) {
	for (const value of [undefined, ""]) {
		test(`${name} ${value === "" ? "empty" : "absent"} is missing`, () => {
			const said = refused(() => readSettings({ ...VALID, [name]: value }));

			assert.ok(said.startsWith(`configuration: ${name}: missing; set `));
		});
	}
}

const MALFORMED = [
	["PORT", "80x", '"80x" is not a port number from 1 to 65535'],
	["PORT", "0", '"0" is not a port number from 1 to 65535'],
	["PORT", "65536", '"65536" is not a port number from 1 to 65535'],
	["PORT", "٨٠", "is not a port number"],
	["PORT", "80\n81", '"80\\n81" is not'],
	["LOG_LEVEL", "INFO", '"INFO" is not one of error, warn, info, debug'],
	[
		"SHUTDOWN_DRAIN_SECONDS",
		"1.5",
		'"1.5" is not whole seconds from 0 to 3600',
	],
	["OTEL_SERVICE_NAME", "-demo", '"-demo" is not a DNS label'],
	[
		"BUSINESS_METRICS",
		"a=count",
		'"a=count" is not name=counter or name=gauge',
	],
	["OTEL_METRIC_EXPORT_INTERVAL", "soon", '"soon" is not milliseconds from'],
	["OTEL_TRACES_SAMPLER", "some", '"some" is not one of always_on'],
	["OTEL_TRACES_SAMPLER_ARG", "2", '"2" is not a ratio from 0 to 1'],
	["OTEL_LOGS_EXPORTER", "console", '"console" is not one of otlp, none'],
] as const;

for (const [name, value, problem] of MALFORMED) {
	test(`${name}=${JSON.stringify(value)} is refused with what is accepted`, () => {
		const said = refused(() => readSettings({ ...VALID, [name]: value }));

		assert.ok(said.startsWith(`configuration: ${name}: `));
		assert.ok(said.includes(problem), said);
	});
}

for (const name of [
	"UPSTREAM_URL",
	"FLAGS_URL",
	"OTEL_EXPORTER_OTLP_ENDPOINT",
]) {
	for (const value of [
		"canary:8080",
		"ftp://canary",
		"http://",
		"http:canary",
		"http://canary:port",
		"http://canary/ x",
		"http://canary@h/",
		"http://u:canary@h/",
	]) {
		test(`${name}=${value} is refused without its value`, () => {
			const said = refused(() => readSettings({ ...VALID, [name]: value }));

			assert.ok(said.startsWith(`configuration: ${name}: `));
			assert.ok(!said.includes("canary"), said);
		});
	}
}

test("a URL with a password is refused", () => {
	const env = { X: "postgresql://user:secret@host/name" };

	const said = refused(() => url(env, "X", ["postgresql"]));

	assert.match(said, /^configuration: X: holds a password/);
});

test("a secret file that cannot be read or is empty is named", () => {
	const folder = mkdtempSync(join(tmpdir(), "secret-"));
	const empty = join(folder, "empty");
	writeFileSync(empty, "\n");

	assert.equal(
		refused(() => secretFile({ X: `${folder}/none` }, "X")),
		`configuration: X: ${folder}/none cannot be read`,
	);
	assert.equal(
		refused(() => secretFile({ X: empty }, "X")),
		`configuration: X: ${empty} is empty`,
	);
});

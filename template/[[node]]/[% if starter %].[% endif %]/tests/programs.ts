/** Starts the programs of the service, as the image does. */

import { spawn } from "node:child_process";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { createServer } from "node:net";
import type { TestContext } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";

const MAIN = new URL("../src/main.ts", import.meta.url).pathname;
const IN_MEMORY = new URL("in-memory.ts", import.meta.url).pathname;
const VALID = {
	OTEL_SERVICE_NAME: "demo",
	LOG_LEVEL: "info",
	SHUTDOWN_DRAIN_SECONDS: "5",
	BUSINESS_METRICS: "signups=counter,active_users=gauge",
	// Where the service has these stores, they are out of reach.
	DATABASE_URL: "postgresql://demo@127.0.0.1:9/demo",
	DATABASE_PASSWORD_FILE: MAIN,
	CACHE_URL: "redis://127.0.0.1:9/0",
};

/** Start a program of the service with these variables and no others. */
export function run(
	t: TestContext,
	env: Record<string, string>,
	...args: string[]
) {
	return start(t, env, [MAIN, ...args]);
}

function start(t: TestContext, env: Record<string, string>, args: string[]) {
	const child = spawn(process.execPath, args, {
		env: { ...VALID, ...env },
	});
	t.after(() => child.kill("SIGKILL"));
	let stdout = "";
	let stderr = "";
	child.stdout.on("data", (data) => {
		stdout += data;
	});
	child.stderr.on("data", (data) => {
		stderr += data;
	});
	const ended = once(child, "close").then(([code]) => code as number | null);
	return {
		child,
		ended,
		stdout: () => stdout,
		stderr: () => stderr,
		lines: () =>
			stdout
				.split("\n")
				.filter(Boolean)
				.map((line) => JSON.parse(line) as Record<string, unknown>),
	};
}

/** Start the service, with its data in memory, and wait until it answers. */
export async function launch(t: TestContext, env: Record<string, string> = {}) {
	const port = await freePort();
	const url = `http://127.0.0.1:${port}`;
	const program = start(t, { PORT: `${port}`, ...env }, [IN_MEMORY]);
	for (;;) {
		if (await fetch(`${url}/startupz`).catch(() => undefined)) break;
		if (program.child.exitCode !== null) throw new Error(program.stderr());
		await sleep(20);
	}
	return {
		...program,
		url,
		/** Ask it to end; its exit code. */
		stop: async () => {
			program.child.kill("SIGTERM");
			return await program.ended;
		},
	};
}

export async function freePort(): Promise<number> {
	const server = createServer().listen(0, "127.0.0.1");
	await once(server, "listening");
	const { port } = server.address() as AddressInfo;
	server.close();
	return port;
}

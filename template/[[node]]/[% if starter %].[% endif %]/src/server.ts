/** Serves the application, and ends in order when it is told to. */

import { createServer, type RequestListener, type Server } from "node:http";
import type { Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { createApp, Service } from "./api.ts";
import { Flags } from "./flags.ts";
import { type Environment, readSettings } from "./settings.ts";
import type { Store } from "./signups.ts";
import { chooseStore } from "./stores.ts";
import { errorType, instrument, log, shutdown, start } from "./telemetry.ts";
import { Upstream } from "./upstream.ts";

const ALL_INTERFACES = "0.0.0.0"; // in a container there is no other way to be reached
const NOTICE_MILLISECONDS = 1000; // what a load balancer needs to notice that we are not ready
const CONNECTIONS = 1000; // each may hold a body of 64 KiB; more are not accepted

/** An HTTP server with telemetry and with limits on what a client may cost. */
export function createHttpServer(listener: RequestListener): Server {
	const server = createServer(
		{
			headersTimeout: 10_000,
			requestTimeout: 20_000, // head and body
			keepAliveTimeout: 75_000, // longer than balancers keep theirs, so that they close first
			connectionsCheckingInterval: 1000,
			maxHeaderSize: 16 * 1024,
		},
		instrument(listener),
	);
	server.maxConnections = CONNECTIONS;
	return server;
}

/** What cannot be parsed as HTTP, or does not come in time. */
export function refuse(error: NodeJS.ErrnoException, socket: Socket) {
	if (!socket.writable || error.code === "ECONNRESET") {
		socket.destroy();
		return;
	}
	const [status, message] =
		error.code === "ERR_HTTP_REQUEST_TIMEOUT"
			? ["408 Request Timeout", "request timeout"]
			: error.code === "HPE_HEADER_OVERFLOW"
				? [
						"431 Request Header Fields Too Large",
						"request header fields too large",
					]
				: ["400 Bad Request", "bad request"];
	const body = JSON.stringify({ error: message });
	socket.end(
		`HTTP/1.1 ${status}\r\nContent-Type: application/json\r\n` +
			`Content-Length: ${body.length}\r\nConnection: close\r\n\r\n${body}`,
	);
}

interface Options {
	/** Without it the service stops at once, as an edit in dev wants it. */
	drain?: boolean;
	/** Instead of the one that the service has a file for. */
	store?: Store;
}

/** Serve until a signal ends it; the exit code. */
export async function serve(
	env: Environment,
	options: Options = {},
): Promise<number> {
	const settings = readSettings(env);
	const store = options.store ?? (await chooseStore(env));
	start(settings);
	const service = new Service(
		store,
		new Upstream(settings.upstreamUrl),
		new Flags(settings.flagsUrl),
	);
	const app = createApp(service, createHttpServer, refuse);
	try {
		await app.listen({
			host: ALL_INTERFACES,
			port: settings.port,
			listenTextResolver: () => "listening",
		});
	} catch (error) {
		log.error({ "error.type": errorType(error) }, "cannot listen on PORT");
		await shutdown();
		return 1;
	}
	service.started = true;
	log.info("listening");

	await signal();
	if (options.drain ?? true)
		await drained(app.server, service, settings.drainSeconds);
	app.server.closeAllConnections();
	await Promise.race([store.close(), sleep(1000)]);
	await shutdown();
	return 0;
}

/** SIGTERM or SIGINT. */
function signal(): Promise<void> {
	const { promise, resolve } = Promise.withResolvers<void>();
	for (const name of ["SIGTERM", "SIGINT"] as const) {
		process.removeAllListeners(name);
		process.on(name, () => resolve());
	}
	return promise;
}

/** Not ready at once; accept for a moment more; then let running requests finish. */
async function drained(server: Server, service: Service, seconds: number) {
	service.draining = true;
	await sleep(NOTICE_MILLISECONDS);
	const { promise: closed, resolve } = Promise.withResolvers<void>();
	server.close(() => resolve());
	// A connection whose last answer began before the drain is kept open by it.
	const idle = setInterval(() => server.closeIdleConnections(), 100);
	await Promise.race([closed, sleep(seconds * 1000)]);
	clearInterval(idle);
}

/** What several tests need: servers on a free port that end with their test. */

import {
	createServer,
	type IncomingMessage,
	type RequestListener,
	type Server,
} from "node:http";
import {
	type AddressInfo,
	createServer as createTcpServer,
	type Socket,
} from "node:net";
import type { TestContext } from "node:test";
import { createApp, Service } from "../src/api.ts";
import { Flags } from "../src/flags.ts";
import { createHttpServer, refuse } from "../src/server.ts";
import type { Store } from "../src/signups.ts";
import { MemoryStore } from "../src/store-memory.ts";
import { Upstream } from "../src/upstream.ts";

/** An address where nobody listens. */
export const NOWHERE = "http://127.0.0.1:9";

/** Serve what a test answers with; its address. */
export async function serving(
	test: TestContext,
	listener: RequestListener,
): Promise<string> {
	const server = createServer(listener);
	await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
	test.after(() => closed(server));
	return address(server);
}

/** A port that takes connections and says nothing. */
export async function silence(test: TestContext): Promise<number> {
	const sockets: Socket[] = [];
	const server = createTcpServer((socket) => sockets.push(socket));
	await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
	test.after(() => {
		for (const socket of sockets) socket.destroy();
		server.close();
	});
	return (server.address() as AddressInfo).port;
}

/** A service on a free port, in this process; without anything else it keeps its data in memory. */
export async function serviceWith(
	test: TestContext,
	{
		store = new MemoryStore() as Store,
		upstream = new Upstream(undefined),
		flags = new Flags(undefined),
	} = {},
) {
	const service = new Service(store, upstream, flags);
	const app = createApp(service, createHttpServer, refuse);
	await app.listen({ host: "127.0.0.1", port: 0 });
	test.after(() => closed(app.server));
	const url = address(app.server);
	const post = (path: string, body: unknown, headers = {}) =>
		fetch(url + path, {
			method: "POST",
			headers: { "content-type": "application/json", ...headers },
			body: typeof body === "string" ? body : JSON.stringify(body),
		});
	return { service, url, post };
}

/** Everything that a request carries in its body. */
export async function bodyOf(request: IncomingMessage): Promise<Buffer> {
	const chunks: Buffer[] = [];
	for await (const chunk of request) chunks.push(chunk);
	return Buffer.concat(chunks);
}

function address(server: Server): string {
	return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

async function closed(server: Server) {
	server.closeAllConnections();
	await new Promise((done) => server.close(done));
}

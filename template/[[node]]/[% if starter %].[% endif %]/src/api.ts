/** The HTTP interface of the service. */

import { randomUUID } from "node:crypto";
import type { RequestListener, Server } from "node:http";
import type { Socket } from "node:net";
import Fastify, { type FastifyInstance, type FastifyRequest } from "fastify";
import {
	answerError,
	HttpError,
	pattern,
	refuseWrongMethods,
} from "./errors.ts";
import type { Flags } from "./flags.ts";
import {
	ActiveUsers,
	NEW_SIGNUP,
	type NewSignup,
	type Signup,
	type Store,
	StoreUnreachableError,
} from "./signups.ts";
import { count, gauge, setRoute } from "./telemetry.ts";
import type { Upstream } from "./upstream.ts";

const BODY_BYTES = 64 * 1024;
const READY_MILLISECONDS = 1000; // the store is asked no more often, however many ask
const OK = { status: "ok" };

/** What the routes work with. */
export class Service {
	readonly store: Store;
	readonly upstream: Upstream;
	readonly flags: Flags;
	readonly activeUsers = new ActiveUsers();
	started = false;
	draining = false;

	constructor(store: Store, upstream: Upstream, flags: Flags) {
		this.store = store;
		this.upstream = upstream;
		this.flags = flags;
	}
}

/** The application, on the server that the factory makes for it. */
export function createApp(
	service: Service,
	createServer: (listener: RequestListener) => Server,
	refuse: (error: Error, socket: Socket) => void,
): FastifyInstance {
	const app = Fastify({
		serverFactory: createServer,
		clientErrorHandler: refuse,
		logger: false, // it would quote requests and errors; see telemetry.ts
		bodyLimit: BODY_BYTES,
		return503OnClosing: false,
		ajv: { customOptions: { coerceTypes: false, removeAdditional: false } },
		// A path that is no path at all.
		frameworkErrors: (_, request, reply) =>
			answerError(new HttpError(404), request, reply),
	});
	app.addHook("onRequest", (request, _, next) => {
		const { url } = request.routeOptions;
		if (url) setRoute(request.raw, pattern(url));
		next();
	});
	app.addHook("onSend", (_, reply, payload, next) => {
		if (service.draining) reply.header("connection", "close");
		next(null, payload);
	});
	app.setErrorHandler(answerError);
	refuseWrongMethods(app);
	acceptJsonOnly(app);
	addHealth(app, service);
	addSignups(app, service);
	gauge("active_users", () => service.activeUsers.count());
	return app;
}

function addSignups(app: FastifyInstance, service: Service) {
	const { store, flags, upstream, activeUsers } = service;

	app.post<{ Body: NewSignup }>(
		"/signups",
		{ schema: { body: NEW_SIGNUP } },
		async ({ body }, reply) => {
			if (!(await flags.enabled("signups-open", true)))
				throw new HttpError(503, "sign-ups are closed", {
					"retry-after": "60",
				});
			const { email, plan } = body;
			const signup = { id: randomUUID(), email, plan, converted: false };
			await store.add(signup);
			count("signups");
			activeUsers.saw(signup.id);
			await upstream.tell(signup);
			const welcome = await flags.enabled("welcome", false, signup.id);
			return reply
				.code(201)
				.header("location", `/signups/${signup.id}`)
				.send({ ...answer(signup), welcome });
		},
	);

	app.get<{ Params: { id: string } }>("/signups/:id", async ({ params }) => {
		const signup = await store.get(signupId(params.id));
		if (!signup) throw new HttpError(404);
		activeUsers.saw(signup.id);
		return answer(signup);
	});

	app.post<{ Params: { id: string } }>(
		"/signups/:id/conversion",
		async ({ params }) => {
			const conversion = await store.convert(signupId(params.id));
			if (!conversion) throw new HttpError(404);
			if (conversion.first) count("conversions");
			return answer(conversion.signup);
		},
	);
}

function answer({ id, email, plan, converted }: Signup): Signup {
	return { id, email, plan, converted };
}

/** The id in the path in its one written form; anything else is no sign-up's. */
function signupId(text: string): string {
	if (!/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(text))
		throw new HttpError(404);
	return text;
}

function addHealth(app: FastifyInstance, service: Service) {
	const reachable = remembered(() => isReachable(service.store));

	app.get("/livez", async () => OK);

	app.get("/startupz", async () => {
		if (!service.started) throw new HttpError(503, "starting");
		return OK;
	});

	app.get("/readyz", async () => {
		if (service.draining) throw new HttpError(503, "draining");
		if (!(await reachable())) throw new StoreUnreachableError();
		return OK;
	});
}

async function isReachable(store: Store): Promise<boolean> {
	try {
		await store.check();
		return true;
	} catch (error) {
		if (error instanceof StoreUnreachableError) return false;
		throw error;
	}
}

/** The same question with the answer of a moment ago, while that is fresh enough. */
function remembered<T>(ask: () => Promise<T>): () => Promise<T> {
	let askedAt = Number.NEGATIVE_INFINITY;
	let answer: Promise<T>;
	return () => {
		if (performance.now() - askedAt >= READY_MILLISECONDS) {
			askedAt = performance.now();
			answer = ask();
		}
		return answer;
	};
}

/** Where a body is asked for it is JSON in UTF-8, or 400 and 415; elsewhere it is passed over. */
function acceptJsonOnly(app: FastifyInstance) {
	const utf8 = new TextDecoder("utf-8", { fatal: true });
	const asked = (request: FastifyRequest) => request.routeOptions.schema?.body;

	app.removeAllContentTypeParsers();
	app.addContentTypeParser(
		"application/json",
		{ parseAs: "buffer" },
		async (request: FastifyRequest, body: Buffer) => {
			if (!asked(request) || body.length === 0) return undefined;
			try {
				return JSON.parse(utf8.decode(body));
			} catch {
				throw new HttpError(400, "malformed JSON");
			}
		},
	);
	app.addContentTypeParser(
		"*",
		{ parseAs: "buffer" },
		async (request: FastifyRequest) => {
			if (asked(request)) throw new HttpError(415);
		},
	);
}

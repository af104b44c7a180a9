/** Every error is a small JSON object that quotes nothing from the request. */

import { STATUS_CODES } from "node:http";
import type {
	FastifyError,
	FastifyInstance,
	FastifyReply,
	FastifyRequest,
} from "fastify";
import { NEW_SIGNUP, StoreUnreachableError } from "./signups.ts";
import { fail, setRoute } from "./telemetry.ts";

/** An answer other than the one that was asked for. */
export class HttpError extends Error {
	override name = "HttpError";
	readonly status: number;
	readonly headers: Record<string, string>;

	constructor(
		status: number,
		message = phrase(status),
		headers: Record<string, string> = {},
	) {
		super(message);
		this.status = status;
		this.headers = headers;
	}
}

function phrase(status: number): string {
	return (STATUS_CODES[status] ?? "error").toLowerCase();
}

/** Errors that are not known as HTTP's own are logged and answered with 500. */
export function answerError(
	error: FastifyError | Error,
	_: FastifyRequest,
	reply: FastifyReply,
) {
	const { status, message, headers } = asHttpError(error);
	return reply.code(status).headers(headers).send({ error: message });
}

function asHttpError(error: FastifyError | Error): HttpError {
	if (error instanceof HttpError) return error;
	if (error instanceof StoreUnreachableError)
		return new HttpError(503, "the store is unreachable", {
			"retry-after": "5",
		});
	if ("validation" in error && error.validation)
		return new HttpError(422, invalid(error.validation));
	const status = "statusCode" in error ? (error.statusCode ?? 500) : 500;
	if (status >= 400 && status < 500) return new HttpError(status);
	fail(error);
	return new HttpError(500, "internal error");
}

/** Names the field that is wrong, if it is one of ours. */
function invalid(problems: NonNullable<FastifyError["validation"]>): string {
	const [problem] = problems;
	const name =
		problem?.params.missingProperty ?? problem?.instancePath.slice(1);
	return typeof name === "string" && name in NEW_SIGNUP.properties
		? `invalid ${name}`
		: "invalid body";
}

/** Answer 405 instead of 404 where the path has a route, but not for this method. */
export function refuseWrongMethods(app: FastifyInstance) {
	const known = new Map<string, { path: RegExp; methods: Set<string> }>();

	app.addHook("onRoute", ({ url, method }) => {
		const path = new RegExp(`^${url.replaceAll(/:[^/]+/g, "[^/]+")}$`);
		const route = known.get(url) ?? { path, methods: new Set() };
		for (const one of [method].flat()) route.methods.add(one);
		known.set(url, route);
	});

	app.setNotFoundHandler((request) => {
		const [path = ""] = request.url.split("?", 1);
		for (const [url, route] of known) {
			if (!route.path.test(path)) continue;
			setRoute(request.raw, pattern(url));
			const allow = [...route.methods].sort().join(", ");
			throw new HttpError(405, phrase(405), { allow });
		}
		throw new HttpError(404);
	});
}

/** `/signups/{id}` of `/signups/:id`. */
export function pattern(url: string): string {
	return url.replaceAll(/:([^/]+)/g, "{$1}");
}

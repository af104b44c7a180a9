/** A read-through cache in Redis before the store. A broken cache costs time, never an answer. */

import {
	createClient,
	type RedisClientOptions,
	type RedisClientType,
} from "@redis/client";
import { readSecret, secretFile, url } from "./settings.ts";
import type { Conversion, Signup, Store } from "./signups.ts";
import type { OpenCache } from "./stores.ts";
import { errorType, log, span } from "./telemetry.ts";
import { within } from "./time.ts";

const TTL_SECONDS = 60; // how long a stale answer may live when an update could not reach Redis
const TIMEOUT_MILLISECONDS = 200;
const PAUSE_MILLISECONDS = 5000; // after a failure reads go straight to the store for so long

/** The cache that CACHE_URL and CACHE_PASSWORD_FILE describe, before a store. */
export const fromEnvironment: OpenCache = (env, store) => {
	const cacheUrl = url(env, "CACHE_URL", ["redis", "rediss"]);
	const name = "CACHE_PASSWORD_FILE";
	const passwordFile = env[name] ? secretFile(env, name) : undefined;
	return new CachedStore(store, cacheUrl, passwordFile);
};

/** Answers reads from Redis where it can, else from the store. */
export class CachedStore implements Store {
	readonly #store: Store;
	readonly #redis: RedisClientType;
	readonly #host: string;
	#pausedUntil = Number.NEGATIVE_INFINITY;
	#warnedAt = Number.NEGATIVE_INFINITY;

	constructor(store: Store, cacheUrl: URL, passwordFile?: string) {
		this.#store = store;
		this.#host = cacheUrl.hostname;
		const options: RedisClientOptions = {
			url: cacheUrl.href,
			disableOfflineQueue: true,
			commandsQueueMaxLength: 1000,
			disableClientInfo: true,
			maintNotifications: "disabled",
			// Pings keep an idle connection alive; one without answers is dropped.
			pingInterval: 1000,
			socket: {
				connectTimeout: 1000,
				socketTimeout: 3000,
				reconnectStrategy: (retries) => Math.min(100 * 2 ** retries, 2000),
			},
		};
		if (passwordFile) {
			// Read for each new connection, so that the password can be rotated.
			const username = decodeURIComponent(cacheUrl.username);
			options.credentialsProvider = {
				type: "async-credentials-provider",
				credentials: async () => ({
					...(username && { username }),
					password: readSecret(passwordFile),
				}),
			};
		}
		this.#redis = createClient(options) as RedisClientType;
		this.#redis.on("error", () => {}); // a command that fails says so
		this.#redis.connect().catch(() => {});
	}

	/** Close both. */
	async close() {
		this.#redis.destroy();
		await this.#store.close();
	}

	/** Ask the store alone: the service can do without the cache. */
	async check() {
		await this.#store.check();
	}

	/** Keep a new sign-up; it is cached when it is first read. */
	async add(signup: Signup) {
		await this.#store.add(signup);
	}

	/** Read through the cache. */
	async get(id: string): Promise<Signup | undefined> {
		const cached = await this.#cached(id);
		if (cached) return cached;
		const signup = await this.#store.get(id);
		// Only if absent: a slow reader must not put back what a conversion has replaced.
		if (signup && !this.#paused()) await this.#keep(signup, "NX");
		return signup;
	}

	/** Convert in the store, then replace what is cached, even while reads are paused. */
	async convert(id: string): Promise<Conversion | undefined> {
		const conversion = await this.#store.convert(id);
		if (conversion) await this.#keep(conversion.signup);
		return conversion;
	}

	async #cached(id: string): Promise<Signup | undefined> {
		if (this.#paused()) return undefined;
		const value = await this.#ask("GET", () => this.#redis.get(key(id)));
		return value ? parsed(value, id) : undefined;
	}

	async #keep(signup: Signup, condition?: "NX") {
		await this.#ask("SET", () =>
			this.#redis.set(key(signup.id), JSON.stringify(signup), {
				expiration: { type: "EX", value: TTL_SECONDS },
				...(condition && { condition }),
			}),
		);
	}

	/** What Redis answers, or nothing when it does not. */
	async #ask<T>(operation: string, ask: () => Promise<T>): Promise<T | null> {
		const attributes = {
			"db.system.name": "redis",
			"db.operation.name": operation,
			"server.address": this.#host,
		};
		try {
			return await span(operation, attributes, () =>
				within(TIMEOUT_MILLISECONDS, ask()),
			);
		} catch (error) {
			this.#broken(error);
			return null;
		}
	}

	#paused(): boolean {
		return performance.now() < this.#pausedUntil;
	}

	#broken(error: unknown) {
		const now = performance.now();
		this.#pausedUntil = now + PAUSE_MILLISECONDS;
		if (now - this.#warnedAt < 60_000) return;
		this.#warnedAt = now;
		log.warn({ "error.type": errorType(error) }, "the cache is unreachable");
	}
}

function key(id: string): string {
	return `signup:${id}`;
}

/** What another version of the service may have written differently is read as nothing. */
function parsed(value: string, id: string): Signup | undefined {
	try {
		const { email, plan, converted } = JSON.parse(value);
		if (typeof email !== "string" || typeof converted !== "boolean")
			return undefined;
		if (plan !== "free" && plan !== "paid") return undefined;
		return { id, email, plan, converted };
	} catch {
		return undefined;
	}
}

/** Which store this service uses: the one it has a file for. */

import { optional } from "./optional.ts";
import type { Environment } from "./settings.ts";
import type { Store } from "./signups.ts";
import { MemoryStore } from "./store-memory.ts";

/** What `store-postgres.ts` exports as `fromEnvironment`. */
export type OpenStore = (env: Environment) => Store;
/** What `cache-redis.ts` exports as `fromEnvironment`. */
export type OpenCache = (env: Environment, store: Store) => Store;

/**
 * PostgreSQL where `store-postgres.ts` is, else memory; behind Redis where `cache-redis.ts` is.
 *
 * Throws `ConfigurationError` when what the store needs is missing or malformed.
 */
export async function chooseStore(env: Environment): Promise<Store> {
	const postgres = await optional<{ fromEnvironment: OpenStore }>(
		"store-postgres",
	);
	const redis = await optional<{ fromEnvironment: OpenCache }>("cache-redis");
	const store = postgres?.fromEnvironment(env) ?? new MemoryStore();
	return redis?.fromEnvironment(env, store) ?? store;
}

/** Sign-ups in PostgreSQL. */

import pg from "pg";
import { parseIntoClientConfig } from "pg-connection-string";
import { type Environment, readSecret, secretFile, url } from "./settings.ts";
import {
	type Conversion,
	type Signup,
	type Store,
	StoreUnreachableError,
} from "./signups.ts";
import type { OpenStore } from "./stores.ts";
import { errorType, log, span } from "./telemetry.ts";
import { within } from "./time.ts";

export const CONNECT_MILLISECONDS = 2000;
const STATEMENT_MILLISECONDS = 5000;
const CHECK_MILLISECONDS = 1000;
const CONNECTIONS = 10;
const WAITING = 100;

/** The store that DATABASE_URL and DATABASE_PASSWORD_FILE describe. */
export const fromEnvironment: OpenStore = (env) =>
	new PostgresStore(connectionSettings(env));

/** How to connect; the password is read for each new connection, so that it can be rotated. */
export interface ConnectionSettings extends pg.ClientConfig {
	password: () => Promise<string>;
}

export function connectionSettings(env: Environment): ConnectionSettings {
	const { href } = url(env, "DATABASE_URL", ["postgresql"]);
	const passwordFile = secretFile(env, "DATABASE_PASSWORD_FILE");
	return {
		...parseIntoClientConfig(href),
		password: async () => readSecret(passwordFile),
		connectionTimeoutMillis: CONNECT_MILLISECONDS,
		keepAlive: true,
	};
}

/** Keeps sign-ups in the table that `migrations/` describes. */
export class PostgresStore implements Store {
	readonly #pool: pg.Pool;
	readonly #password: () => Promise<string>;
	readonly #host: string;
	#reachable = true;

	constructor(settings: ConnectionSettings) {
		this.#password = settings.password;
		this.#host = settings.host ?? "";
		this.#pool = new pg.Pool({
			...settings,
			application_name: "app",
			max: CONNECTIONS,
			idleTimeoutMillis: 30_000,
			allowExitOnIdle: true, // or its timers outlive it
			maxLifetimeSeconds: 3600,
			statement_timeout: STATEMENT_MILLISECONDS,
			query_timeout: STATEMENT_MILLISECONDS,
		});
		this.#pool.on("error", () => {}); // an idle connection broke; the pool makes another
	}

	async close() {
		await this.#pool.end();
	}

	/** Ask for the table, so that a database without migrations is not ready either. */
	async check() {
		const sql = "SELECT FROM signups LIMIT 0";
		await this.#query("SELECT", sql, [], CHECK_MILLISECONDS);
	}

	async add({ id, email, plan, converted }: Signup) {
		await this.#query(
			"INSERT",
			"INSERT INTO signups (id, email, plan, converted) VALUES ($1, $2, $3, $4)",
			[id, email, plan, converted],
		);
	}

	async get(id: string): Promise<Signup | undefined> {
		const [signup] = await this.#query(
			"SELECT",
			"SELECT id, email, plan, converted FROM signups WHERE id = $1",
			[id],
		);
		return signup;
	}

	/** Of two clients at once only one is the first. */
	async convert(id: string): Promise<Conversion | undefined> {
		const [converted] = await this.#query(
			"UPDATE",
			"UPDATE signups SET converted = true WHERE id = $1 AND NOT converted" +
				" RETURNING id, email, plan, converted",
			[id],
		);
		if (converted) return { signup: converted, first: true };
		const signup = await this.get(id);
		return signup && { signup, first: false };
	}

	async #query(
		operation: string,
		sql: string,
		values: readonly unknown[],
		milliseconds = CONNECT_MILLISECONDS + STATEMENT_MILLISECONDS,
	): Promise<Signup[]> {
		const attributes = {
			"db.system.name": "postgresql",
			"db.operation.name": operation,
			"db.collection.name": "signups",
			"server.address": this.#host,
		};
		try {
			const rows = await span(`${operation} signups`, attributes, async () => {
				if (this.#pool.waitingCount >= WAITING) throw new TooManyError();
				// The driver would leave a connection open whose password it cannot read.
				if (this.#pool.idleCount === 0) await this.#password();
				const query = this.#pool.query<Signup>(sql, [...values]);
				return (await within(milliseconds, query)).rows;
			});
			if (!this.#reachable) log.info("the store is reachable again");
			this.#reachable = true;
			return rows;
		} catch (error) {
			if (!isUnreachable(error)) throw error;
			if (this.#reachable)
				log.warn(
					{ "error.type": errorType(error) },
					"the store is unreachable",
				);
			this.#reachable = false;
			throw new StoreUnreachableError();
		}
	}
}

/** Too many requests wait for a connection already. */
class TooManyError extends Error {
	override name = "TooManyError";
}

/** Whether it may work later: no connection, no room, no table yet; but no mistake of ours. */
function isUnreachable(error: unknown): boolean {
	if (error instanceof pg.DatabaseError)
		return /^(08|28|3D|40|53|55|57|58)|^42P01$/.test(error.code ?? "");
	return error instanceof Error && !(error instanceof TypeError);
}

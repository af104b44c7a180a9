/** Brings the database to the newest of migrations/*.sql, forward only. */

import { readdir, readFile } from "node:fs/promises";
import { join, parse } from "node:path";
import pg from "pg";
import { type Environment, readSettings } from "./settings.ts";
import { connectionSettings } from "./store-postgres.ts";
import { errorType, log, startLogs } from "./telemetry.ts";

const MIGRATIONS = "migrations"; // below the working directory, in the image as in the repository

/** Apply what is not applied yet, each file in a transaction of its own; the exit code. */
export async function migrate(
	env: Environment,
	folder = MIGRATIONS,
): Promise<number> {
	const settings = readSettings(env);
	const connection = connectionSettings(env);
	startLogs(settings.serviceName, settings.logLevel);
	const files = await sqlFiles(folder);
	if (files.length === 0) {
		log.error("no migrations found below the working directory");
		return 1;
	}
	const client = new pg.Client({
		...connection,
		application_name: "migrate",
		// Rather fail than queue every request behind a lock that a long query holds.
		lock_timeout: 30_000,
	});
	client.on("error", () => {}); // the query that fails says so
	try {
		await client.connect();
		// Two at once wait for each other: the key is the same in every instance.
		await client.query(
			"SELECT pg_advisory_lock(hashtext('schema_migrations'))",
		);
		return await apply(client, folder, files);
	} catch (error) {
		log.error(
			{ "error.type": errorType(error) },
			"the database is unreachable",
		);
		return 1;
	} finally {
		await client.end().catch(() => {});
	}
}

async function sqlFiles(folder: string): Promise<string[]> {
	try {
		const files = await readdir(folder);
		return files.filter((file) => file.endsWith(".sql")).sort();
	} catch {
		return [];
	}
}

async function apply(
	client: pg.Client,
	folder: string,
	files: readonly string[],
): Promise<number> {
	await client.query(
		"CREATE TABLE IF NOT EXISTS schema_migrations" +
			" (version text PRIMARY KEY, applied_at timestamptz NOT NULL DEFAULT now())",
	);
	const { rows } = await client.query<{ version: string }>(
		"SELECT version FROM schema_migrations",
	);
	const applied = new Set(rows.map(({ version }) => version));
	let count = 0;
	for (const file of files) {
		const { name: version } = parse(file);
		if (applied.has(version)) continue;
		const sql = await readFile(join(folder, file), "utf8");
		try {
			await client.query("BEGIN");
			await client.query(sql);
			await client.query(
				"INSERT INTO schema_migrations (version) VALUES ($1)",
				[version],
			);
			await client.query("COMMIT");
		} catch (error) {
			log.error(
				{ migration: version, "error.type": errorType(error) },
				"a migration failed and was rolled back",
			);
			return 1; // the end of the connection rolls back
		}
		log.info({ migration: version }, "migration applied");
		count += 1;
	}
	log.info({ applied: count }, "the database is up to date");
	return 0;
}

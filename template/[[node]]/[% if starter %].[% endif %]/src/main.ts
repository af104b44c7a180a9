/**
 * The programs of the image: serve (without an argument), healthcheck, migrate, dev.
 *
 * What takes time to load is loaded by the program that needs it: a health check
 * that runs every few seconds must cost next to nothing.
 */

import { optional } from "./optional.ts";
import { ConfigurationError, type Environment, port } from "./settings.ts";

const USAGE = "usage: node src/main.js [healthcheck | migrate | dev]";

/** Run one program; its exit code. */
async function main(args: readonly string[]): Promise<number> {
	switch (args.join(" ")) {
		case "":
		case "dev": {
			const { serve } = await import("./server.ts");
			return await serve(process.env, { drain: args[0] !== "dev" });
		}
		case "healthcheck": {
			const { alive } = await import("./healthcheck.ts");
			return (await alive(port(process.env))) ? 0 : 1;
		}
		case "migrate":
			return await migrate();
		default:
			console.error(USAGE);
			return 2;
	}
}

async function migrate(): Promise<number> {
	const module = await optional<{
		migrate(env: Environment): Promise<number>;
	}>("migrate");
	if (!module) {
		console.error("this service has no database to migrate");
		return 2;
	}
	return await module.migrate(process.env);
}

// Until the server handles it, SIGTERM ends the start; as process 1 it would be ignored.
process.on("SIGTERM", () => process.exit(0));
process.on("SIGINT", () => process.exit(0));
try {
	process.exit(await main(process.argv.slice(2)));
} catch (error) {
	if (!(error instanceof ConfigurationError)) throw error;
	console.error(error.message);
	process.exit(2);
}

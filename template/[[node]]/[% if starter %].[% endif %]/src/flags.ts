/** Feature flags through OpenFeature, from an OFREP server when FLAGS_URL names one. */

import { OFREPProvider } from "@openfeature/ofrep-provider";
import { type Client, OpenFeature } from "@openfeature/server-sdk";
import { log, untraced } from "./telemetry.ts";

const TIMEOUT_MILLISECONDS = 500;
const PAUSE_MILLISECONDS = 5000; // after a failure the defaults hold for so long

/** Boolean flags; without a server, or when it is gone, the defaults. */
export class Flags {
	readonly #client: Client | undefined;
	#pausedUntil = 0;
	#warnedAt = Number.NEGATIVE_INFINITY;

	constructor(
		flagsUrl: string | undefined,
		timeoutMilliseconds = TIMEOUT_MILLISECONDS,
	) {
		if (!flagsUrl) return;
		const silent = () => {}; // it quotes errors; ours is one line a minute
		OpenFeature.setLogger({
			error: silent,
			warn: silent,
			info: silent,
			debug: silent,
		});
		OpenFeature.setProvider(
			new OFREPProvider({
				baseUrl: flagsUrl,
				fetchImplementation: (request: Request) =>
					untraced(() =>
						fetch(request, {
							signal: AbortSignal.timeout(timeoutMilliseconds),
						}),
					),
			}),
		);
		this.#client = OpenFeature.getClient();
	}

	/** Whether a flag is on. The targeting key leaves the process: never a personal detail. */
	async enabled(
		flag: string,
		byDefault: boolean,
		targetingKey?: string,
	): Promise<boolean> {
		if (!this.#client || performance.now() < this.#pausedUntil)
			return byDefault;
		const details = await this.#client.getBooleanDetails(
			flag,
			byDefault,
			targetingKey ? { targetingKey } : {},
		);
		if (details.errorCode) this.#failed(details.errorCode);
		return details.value;
	}

	#failed(problem: string) {
		const now = performance.now();
		this.#pausedUntil = now + PAUSE_MILLISECONDS;
		if (now - this.#warnedAt < 60_000) return;
		this.#warnedAt = now;
		log.warn({ "error.type": problem }, "flags have their defaults");
	}
}

/** The service that is told about each sign-up, when UPSTREAM_URL names one. */

import { Agent, request } from "undici";
import type { NewSignup } from "./signups.ts";
import { errorType, log } from "./telemetry.ts";
import { TimeoutError } from "./time.ts";

const TIMEOUT_MILLISECONDS = 2000;
const CONNECTIONS = 100;

/** Sends sign-ups on; a failure is logged and never reaches the client. */
export class Upstream {
	readonly #url: string | undefined;
	readonly #connections = new Agent({ connections: CONNECTIONS });

	constructor(baseUrl: string | undefined) {
		this.#url = baseUrl && `${baseUrl}/signups`;
	}

	/** Send a new sign-up on, within the time limit. */
	async tell({ email, plan }: NewSignup) {
		if (!this.#url) return;
		const problem = await this.#send(this.#url, { email, plan });
		if (problem)
			log.error(
				{ "error.type": problem },
				"the upstream did not take a sign-up",
			);
	}

	/** Post JSON, and throw the answer's body away; what went wrong, if anything did. */
	async #send(url: string, body: unknown): Promise<string | undefined> {
		const abort = new AbortController();
		const timer = setTimeout(
			() => abort.abort(new TimeoutError()),
			TIMEOUT_MILLISECONDS,
		);
		try {
			const answer = await request(url, {
				dispatcher: this.#connections,
				method: "POST",
				headers: { "content-type": "application/json" },
				body: JSON.stringify(body),
				signal: abort.signal,
			});
			for await (const _ of answer.body); // read to its end, the connection is kept
			return answer.statusCode < 300 ? undefined : `${answer.statusCode}`;
		} catch (error) {
			return errorType(error);
		} finally {
			clearTimeout(timer);
		}
	}
}

/** What the service is about: sign-ups, what a store keeps of them, and who is active. */

/** What a client sends to sign up. */
export interface NewSignup {
	email: string;
	plan: "free" | "paid";
}

/** A sign-up as it is kept and answered. */
export interface Signup extends NewSignup {
	id: string;
	converted: boolean;
}

/** What `NewSignup` must look like in JSON. */
export const NEW_SIGNUP = {
	type: "object",
	properties: {
		email: {
			type: "string",
			maxLength: 254,
			// One @ between two parts without blanks, control characters or halves
			// of characters; a dot in the domain.
			pattern:
				"^[^@\\s\\p{Cc}\\p{Cs}]+@[^@\\s\\p{Cc}\\p{Cs}]+\\.[^@\\s\\p{Cc}\\p{Cs}]+$",
		},
		plan: { enum: ["free", "paid"], default: "free" },
	},
	required: ["email"],
	additionalProperties: false,
} as const;

/** The store cannot be asked now; the client may try again. */
export class StoreUnreachableError extends Error {
	override name = "StoreUnreachableError";
}

/** Keeps sign-ups. What cannot be done now is rejected with `StoreUnreachableError`. */
export interface Store {
	/** Let go of every connection. */
	close(): Promise<void>;
	/** Find out whether the store can be used. */
	check(): Promise<void>;
	/** Keep a new sign-up. */
	add(signup: Signup): Promise<void>;
	/** The sign-up with this id, if there is one. */
	get(id: string): Promise<Signup | undefined>;
	/** Mark a sign-up as converted; the answer says whether this was the first time. */
	convert(id: string): Promise<Conversion | undefined>;
}

export interface Conversion {
	signup: Signup;
	first: boolean;
}

/** Counts the sign-ups that were created or read within the last 15 minutes. */
export class ActiveUsers {
	static readonly WINDOW_MILLISECONDS = 15 * 60 * 1000;
	static readonly LIMIT = 100_000; // about 10 MB; beyond it the longest idle ones are forgotten

	readonly #now: () => number;
	readonly #seen = new Map<string, number>(); // in the order of their last sight

	constructor(now = () => performance.now()) {
		this.#now = now;
	}

	/** Note that this sign-up is active now. */
	saw(id: string) {
		this.#seen.delete(id);
		this.#seen.set(id, this.#now());
		forgetOldest(this.#seen, ActiveUsers.LIMIT);
	}

	/** How many are active. */
	count(): number {
		const oldest = this.#now() - ActiveUsers.WINDOW_MILLISECONDS;
		for (const [id, seen] of this.#seen) {
			if (seen >= oldest) break;
			this.#seen.delete(id);
		}
		return this.#seen.size;
	}
}

/** Make room in a map for what was put in last. */
export function forgetOldest(map: Map<string, unknown>, limit: number) {
	if (map.size <= limit) return;
	const [oldest] = map.keys();
	if (oldest !== undefined) map.delete(oldest);
}

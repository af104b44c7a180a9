/** Sign-ups in memory: gone with the process, and not shared between instances. */

import {
	type Conversion,
	forgetOldest,
	type Signup,
	type Store,
} from "./signups.ts";

/** Keeps the newest sign-ups; older ones make room. */
export class MemoryStore implements Store {
	static readonly LIMIT = 100_000; // about 50 MB

	readonly #signups = new Map<string, Signup>();

	async close() {}

	async check() {}

	async add(signup: Signup) {
		this.#signups.set(signup.id, signup);
		forgetOldest(this.#signups, MemoryStore.LIMIT);
	}

	async get(id: string): Promise<Signup | undefined> {
		return this.#signups.get(id);
	}

	async convert(id: string): Promise<Conversion | undefined> {
		const signup = this.#signups.get(id);
		if (!signup || signup.converted) return signup && { signup, first: false };
		const converted = { ...signup, converted: true };
		this.#signups.set(id, converted);
		return { signup: converted, first: true };
	}
}

/** Limits on how long something may take. */

export class TimeoutError extends Error {
	override name = "TimeoutError";
}

/** What `work` gives, unless it takes longer; it is not stopped, only no longer waited for. */
export async function within<T>(
	milliseconds: number,
	work: Promise<T>,
): Promise<T> {
	const { promise: late, reject } = Promise.withResolvers<never>();
	const timer = setTimeout(() => reject(new TimeoutError()), milliseconds);
	try {
		return await Promise.race([work, late]);
	} finally {
		clearTimeout(timer);
	}
}

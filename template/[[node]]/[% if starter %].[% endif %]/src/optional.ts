/** Parts of the service that are there when their file is. */

import { existsSync } from "node:fs";
import { extname } from "node:path";

/** The module of that name beside this one, as source or compiled; undefined without its file. */
export async function optional<Module>(
	name: string,
): Promise<Module | undefined> {
	const file = new URL(`${name}${extname(import.meta.url)}`, import.meta.url);
	return existsSync(file) ? await import(file.href) : undefined;
}

/** The service as `main.ts` runs it, but with its data in memory, whatever store it has. */

import { serve } from "../src/server.ts";
import { MemoryStore } from "../src/store-memory.ts";

process.exit(await serve(process.env, { store: new MemoryStore() }));

/** The way to the chunk: `lazy/`, built as one file of its own and loaded when it is first needed. */
import type { Core } from "./host.ts";
import type * as Chunk from "./lazy/index.ts";

/** Where the chunk is. A browser remembers that a file could not be loaded: after a failure it is requested under another name. */
let address = "./live-banner.more.js";
let core: Core;

/** Hand over the core. The chunk cannot import it: it does not know from which address the page loaded it. */
export const setCore = (parts: Core): unknown => (core = parts);

/** The chunk. Rejects if it cannot be loaded; the next call tries again. */
export const loadChunk = (): Promise<typeof Chunk> =>
  import(address).catch((problem) => {
    address += "?";
    throw problem;
  });

/** Call a function of the chunk, with the core as its first argument. */
export const loadLazily = async (name: keyof typeof Chunk, ...parameters: unknown[]): Promise<never> =>
  ((await loadChunk()) as unknown as Record<string, (...all: unknown[]) => Promise<never>>)[name]!(core, ...parameters);

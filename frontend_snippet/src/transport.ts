/** What the transports have in common: server-sent events in the core, a WebSocket in the chunk. */

/** One result: `data` or `errors`. */
export interface Payload {
  data?: { [root: string]: unknown } | null;
  errors?: [{ message: string; extensions?: object }];
}

/**
 * Runs one subscription; resolves when it is over, rejects if it cannot be opened. `next` gets each result, `heard` is called at each
 * sign of life, `address` is the endpoint. Older cores call the chunk's WebSocket like this, so the parameters stay as they are.
 */
export type Transport = (
  body: object,
  credential: string | undefined,
  signal: AbortSignal,
  next: (payload: Payload) => void,
  heard: () => void,
  address: string,
) => Promise<unknown>;

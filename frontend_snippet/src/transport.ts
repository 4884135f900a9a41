/** What the transports have in common: server-sent events in the core, a WebSocket in the chunk. */

/** One result: `data` or `errors`. */
export interface Payload {
  data?: { [root: string]: unknown } | null;
  errors?: [{ message: string; extensions?: object }];
}

/** Runs one subscription; resolves when it is over. `heard`: with each sign of life; `address`: of the endpoint, for other transports. */
export type Transport = (
  body: object,
  credential: string | undefined,
  signal: AbortSignal,
  next: (payload: Payload) => void,
  heard: () => void,
  address: string,
) => Promise<unknown>;

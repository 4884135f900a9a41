/** A subscription over server-sent events by `fetch` (graphql-sse, distinct connections mode). */
import { parseEvents } from "./events.ts";
import { post } from "./http.ts";

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

export const overEventStream: Transport = async (body, credential, signal, next, heard) => {
  const answer = await post(body, credential, "text/event-stream", signal);
  if (!/^text.e/.test(answer.headers.get("content-type")!)) throw answer;
  const reader = answer.body!.pipeThrough(new TextDecoderStream()).getReader();
  for (let text = ""; ; ) {
    const { value, done } = await reader.read();
    if (done) return;
    heard();
    const [events, rest] = parseEvents(text + value);
    text = rest;
    for (const data of events) next(JSON.parse(data));
  }
};

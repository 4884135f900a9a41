/** A subscription over server-sent events by `fetch` (graphql-sse, distinct connections mode). */
import { parseEvents } from "./events.ts";
import { post } from "./http.ts";
import type { Transport } from "./transport.ts";

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

/** A subscription over server-sent events by `fetch` (graphql-sse, distinct connections mode). */
import { parseEvents } from "./events.ts";
import { post } from "./http.ts";
import type { Transport } from "./transport.ts";

/** Throws the answer if it is not an event stream. */
export const overEventStream: Transport = async (body, credential, signal, next, heard) => {
  const answer = await post(body, credential, "text/event-stream", signal);
  if (!answer.headers.get("content-type")?.includes("text/event-stream")) throw answer;
  const reader = answer.body!.pipeThrough(new TextDecoderStream()).getReader();
  for (let text = ""; ; ) {
    const { value, done } = await reader.read();
    if (done) return;
    heard();
    text = parseEvents(text + value, next);
  }
};

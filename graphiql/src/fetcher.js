/** How GraphiQL reaches the gateway: queries and mutations by POST, subscriptions by server-sent events (distinct connections mode). */
import { getOperationAST, parse } from "graphql";

import { readEvents } from "./events.js";

/** A header with this in its value was not filled in, and no header can have it: it is left out. */
export const PLACEHOLDER = "…";

const STREAM = "text/event-stream";
const RESULT = "application/graphql-response+json, application/json";

/** The fetcher of the endpoint at `address`: a promise of the result, or for a subscription an observable. */
export const makeFetcher = (address) => (request, { headers } = {}) => {
  const send = (accept, signal) =>
    fetch(address, {
      method: "POST",
      headers: { ...filledIn(headers), accept, "content-type": "application/json" },
      body: JSON.stringify(request),
      signal,
    });
  return isSubscription(request) ? observe((signal) => send(STREAM, signal)) : send(RESULT).then(resultOf);
};

const filledIn = (headers = {}) => Object.fromEntries(Object.entries(headers).filter(([, value]) => !String(value).includes(PLACEHOLDER)));

function isSubscription({ query, operationName }) {
  try {
    return getOperationAST(parse(query), operationName)?.operation === "subscription";
  } catch {
    return false; // the gateway tells what is wrong with it
  }
}

const isJson = (answer) => /json/.test(answer.headers.get("content-type"));

async function resultOf(answer) {
  if (isJson(answer)) return answer.json();
  throw new Error(`The gateway answered ${answer.status}: ${await answer.text()}`);
}

const observe = (open) => ({
  subscribe(observer) {
    const stopped = new AbortController();
    run(open, observer, stopped.signal).then(
      () => observer.complete(),
      (problem) => stopped.signal.aborted || observer.error(problem),
    );
    return { unsubscribe: () => stopped.abort() };
  },
});

/** Hands on what a stream brings; ends with it. A stream that breaks off without having said why is an error. */
async function run(open, observer, signal) {
  const answer = await open(signal);
  if (!answer.headers.get("content-type")?.startsWith(STREAM)) return observer.next(await resultOf(answer));
  let last;
  for await (const { name, data } of readEvents(answer.body)) {
    if (name === "complete") return;
    observer.next((last = JSON.parse(data)));
  }
  if (!last?.errors) throw new Error("The gateway ended the stream before the subscription was over: run it again.");
}

// A subscription that stays: over server-sent events (graphql-sse) or a WebSocket (graphql-transport-ws), opened again
// after every cut. The gateway sends the first decision again only where it differs from what is shown: no gap, no flicker.

import { GatewayError, backoffMs, errorOf, mayPass, pause, renewVisit, visitorToken } from "./gateway.js";

const SILENCE_MS = 45_000; // the gateway gives a sign of life more often than that

export class LiveFeed {
  /** `payload()` is the GraphQL request, made anew for each connection; `onData(data)` gets each result. */
  constructor({ endpoint, transport, payload, onData }) {
    const connect = transport === "ws" ? overWebSocket : overEventStream;
    Object.assign(this, { endpoint, connect, payload, onData, controller: null });
  }

  open() {
    if (this.controller) return;
    this.controller = new AbortController();
    this.run(this.controller.signal);
  }

  close() {
    this.controller?.abort();
    this.controller = null;
  }

  async run(signal) {
    for (let failures = 0; !signal.aborted; failures += 1) {
      let retryAfterMs = 0;
      try {
        if (!visitorToken()) await renewVisit();
        await this.connect(this.endpoint, this.payload(), signal, (result) => {
          if (signal.aborted) return;
          if (result.errors?.length) throw errorOf(result.errors);
          failures = 0;
          this.onData(result.data);
        });
      } catch (error) {
        if (signal.aborted) return;
        if (!mayPass(error)) return console.warn(`The gateway refused the subscription: ${error.code} ${error.message}`);
        retryAfterMs = error.retryAfterMs ?? 0;
        if (error.code === "UNAUTHENTICATED") await renewVisit().catch(() => null);
      }
      await pause(Math.max(retryAfterMs, backoffMs(failures)), signal);
    }
  }
}

/** Read one event stream to its end. */
async function overEventStream(endpoint, payload, signal, onResult) {
  const connection = new AbortController();
  const abort = () => connection.abort();
  signal.addEventListener("abort", abort, { once: true });
  let watchdog = setTimeout(abort, SILENCE_MS);
  try {
    const response = await fetch(endpoint, {
      method: "POST",
      headers: { accept: "text/event-stream", "content-type": "application/json", authorization: `Bearer ${visitorToken()}` },
      body: JSON.stringify(payload),
      signal: connection.signal,
    });
    if (!response.headers.get("content-type")?.startsWith("text/event-stream")) throw errorOf((await response.json()).errors);
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    for (let rest = ""; ; ) {
      const { value, done } = await reader.read();
      if (done) return;
      clearTimeout(watchdog);
      watchdog = setTimeout(abort, SILENCE_MS);
      const events = (rest + value).split(/\r?\n\r?\n/);
      rest = events.pop();
      for (const { name, data } of events.map(parseEvent)) {
        if (name === "next") onResult(JSON.parse(data));
      }
    }
  } finally {
    clearTimeout(watchdog);
    signal.removeEventListener("abort", abort);
    connection.abort();
  }
}

/** One event of a stream (HTML Living Standard, section 9.2.6), as far as graphql-sse uses it. */
export function parseEvent(text) {
  const event = { name: "message", data: "" };
  for (const line of text.split(/\r?\n/)) {
    const [, field, value] = /^([^:]*):? ?(.*)$/.exec(line);
    if (field === "event") event.name = value;
    if (field === "data") event.data += (event.data && "\n") + value;
  }
  return event;
}

/** Run one subscription over a socket of its own; resolves when it is over. */
function overWebSocket(endpoint, payload, signal, onResult) {
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(endpoint.replace(/^http/, "ws"), "graphql-transport-ws");
    const send = (message) => socket.send(JSON.stringify(message));
    const close = () => socket.close(1000);
    let watchdog = null;
    const alive = () => {
      clearTimeout(watchdog);
      watchdog = setTimeout(() => (reject(new Error("silence")), close()), SILENCE_MS);
    };
    const handlers = {
      connection_ack: () => send({ id: "1", type: "subscribe", payload }),
      next: (message) => onResult(message.payload),
      error: (message) => onResult({ errors: message.payload }),
      complete: close,
      ping: () => send({ type: "pong" }),
    };
    signal.addEventListener("abort", close, { once: true });
    socket.onopen = () => send({ type: "connection_init", payload: { authorization: `Bearer ${visitorToken()}` } });
    socket.onmessage = ({ data }) => {
      alive();
      try {
        const message = JSON.parse(data);
        handlers[message.type]?.(message);
      } catch (error) {
        reject(error);
        close();
      }
    };
    socket.onerror = () => reject(new Error("the socket failed"));
    socket.onclose = ({ code, reason }) => {
      clearTimeout(watchdog);
      signal.removeEventListener("abort", close);
      if (code === 4403) reject(new GatewayError("UNAUTHENTICATED", reason));
      else resolve();
    };
    alive();
  });
}

/** A subscription over a WebSocket of its own (graphql-transport-ws). */
import { CLOSE_FORBIDDEN, UNAUTHENTICATED } from "../codes.ts";
import type { Transport } from "../transport.ts";

export const overWebSocket: Transport = (body, credential, signal, next, heard, address) =>
  new Promise((resolve) => {
    signal.throwIfAborted();
    const socket = new WebSocket(new URL(address, document.baseURI).href.replace("http", "ws"), "graphql-transport-ws");
    const send = (message: object): void => socket.send(JSON.stringify(message));
    signal.onabort = () => resolve(socket.close());
    socket.onopen = () => send({ type: "connection_init", payload: { authorization: "Bearer " + credential } });
    socket.onmessage = ({ data }) => {
      heard();
      const { type, payload } = JSON.parse(data);
      if (type === "ping") send({ type: "pong" });
      if (type === "connection_ack") send({ type: "subscribe", id: "1", payload: body });
      if (type === "next") next(payload);
      if (type === "error") {
        next({ errors: payload });
        socket.close();
      }
      if (type === "complete") socket.close();
    };
    socket.onclose = ({ code }) => {
      resolve(code === CLOSE_FORBIDDEN && next({ errors: [{ message: String(code), extensions: { code: UNAUTHENTICATED } }] }));
    };
  });

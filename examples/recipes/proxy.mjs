/** The gateway under a path of the page's own origin. Each chunk is passed on at once, so that event streams flow; cookies are not. */
import { request } from "node:http";

/** A handler for Node's http server or Express. `endpoint`: the GraphQL address. */
export const proxy = (endpoint) => (incoming, response) => {
  const { cookie, host, connection, ...headers } = incoming.headers;
  const gateway = new URL(endpoint);
  gateway.search = incoming.url.split("?").slice(1).join("?");
  const onward = request(gateway, { method: incoming.method, headers });
  onward.on("response", (answer) => {
    response.writeHead(answer.statusCode, answer.headers);
    response.flushHeaders();
    answer.on("error", () => response.destroy()).pipe(response);
  });
  onward.on("error", () => (response.headersSent ? response.destroy() : response.writeHead(502).end("The gateway does not answer.")));
  response.on("close", () => response.writableFinished || onward.destroy());
  incoming.pipe(onward);
};

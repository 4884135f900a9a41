/** Requests: one persisted document with all operations of the snippet, named by its hash. */
import { loadChunk } from "./chunk.ts";
import { PERSISTED_QUERY_NOT_FOUND } from "./codes.ts";
import { endpoint } from "./options.ts";
import type { Refusal } from "./queue.ts";
import { learnClock } from "./visitor.ts";

declare const __DOCUMENT_ID__: string;

/** The text of the document, once a gateway did not know its hash. */
let query: string | undefined;

/** The parameters of a GraphQL request. */
export const bodyOf = (operationName: string, variables: object) => ({ documentId: __DOCUMENT_ID__, query, operationName, variables });

/** The first of GraphQL errors as a Refusal. If the document was not known, the next request carries its text. */
export const refusalOf = ([{ message, extensions }]: [{ message: string; extensions?: Refusal }]): Refusal => {
  if (extensions?.code === PERSISTED_QUERY_NOT_FOUND) loadChunk().then(async (chunk) => (query = await chunk.text())).catch(String);
  return { ...extensions, message };
};

/** Send a GraphQL request. `keepalive`: it outlives its page. */
export const post = (
  body: object,
  credential: string | undefined,
  accept: string,
  signal: AbortSignal,
  keepalive?: boolean,
): Promise<Response> =>
  fetch(endpoint(), {
    method: "POST",
    headers: { accept, "content-type": "application/json", authorization: "Bearer " + credential },
    body: JSON.stringify(body),
    signal,
    keepalive,
  });

/**
 * The root field of an operation. Nothing is awaited before the request goes out. Throws a Refusal, or what `fetch` throws if no answer
 * comes within 10 s.
 */
export const runOperation = async <T>(
  operation: string,
  variables: object,
  credential: string | undefined,
  keepalive?: boolean,
): Promise<T> => {
  const sentMs = Date.now();
  const response = await post(bodyOf(operation, variables), credential, "application/json", AbortSignal.timeout(1e4), keepalive);
  const { data, errors } = await response.json().catch(() => {
    throw { code: response.status };
  });
  if (errors) throw refusalOf(errors);
  const [answer] = Object.values(data) as [T & { serverTime?: string }];
  learnClock(answer.serverTime, sentMs);
  return answer;
};

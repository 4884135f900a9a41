/** Requests: one persisted document with all operations of the snippet, named by its hash. */
import { endpoint } from "./options.ts";
import type { Refusal } from "./queue.ts";

declare const __DOCUMENT_ID__: string;

/** The document itself, once a gateway did not know its hash. */
let query: string | undefined;

/** The parameters of a GraphQL request. */
export const bodyOf = (operationName: string, variables: object) => ({ documentId: __DOCUMENT_ID__, query, operationName, variables });

/** The first of GraphQL errors, flat. Where the document was not known, the next try carries its text. */
export function refusalOf([{ message, extensions }]: [{ message: string; extensions?: Refusal }]): Refusal {
  if (/^PER/.test(extensions?.code!)) void import("./live-banner.documents.js" as string).then((chunk: { default: string }) => (query = chunk.default), String);
  return { ...extensions, message };
}

export const post = (body: object, credential: string | undefined, accept: string, init: RequestInit): Promise<Response> =>
  fetch(endpoint(), {
    method: "POST",
    headers: { accept, "content-type": "application/json", authorization: "Bearer " + credential },
    body: JSON.stringify(body),
    ...init,
  });

/** The root field of an operation. Throws a Refusal, or what `fetch` throws when there is no answer. Nothing is awaited before the request goes out. */
export async function run<T>(operation: string, variables: object, credential: string | undefined, keepalive?: boolean): Promise<T> {
  const answer = await post(bodyOf(operation, variables), credential, "application/json", { keepalive: keepalive!, signal: AbortSignal.timeout(1e4) });
  const { data, errors } = await answer.json();
  if (errors) throw refusalOf(errors);
  return Object.values(data)[0] as T;
}

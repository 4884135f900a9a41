// relay-runtime's network layer: documents by their id, as Relay's compiler persists them; subscriptions by graphql-ws
import relay from 'relay-runtime';
import { createHash } from 'node:crypto';
import { createClient } from 'graphql-ws';
import { httpUrl, play, sleep, wsUrl } from './scenarios.mjs';

const { Network, Observable } = relay;
const socket = createClient({ url: wsUrl, retryAttempts: 200, retryWait: () => sleep(20), shouldRetry: () => true });
const documentId = (text) => `sha256:${createHash('sha256').update(text).digest('hex')}`;

async function post(body) {
  const headers = { 'content-type': 'application/json', accept: 'application/graphql-response+json' };
  return (await fetch(httpUrl, { method: 'POST', headers, body: JSON.stringify(body) })).json();
}

async function fetchQuery({ id, metadata }, variables) {
  const found = await post({ documentId: id, variables });
  if (found.errors?.[0].extensions.code !== 'PERSISTED_QUERY_NOT_FOUND') return found;
  return post({ documentId: id, query: metadata.text, variables });
}

function subscribe({ id, metadata }, variables) {
  return Observable.create((sink) => socket.subscribe({ documentId: id, query: metadata.text, variables }, sink));
}

const network = Network.create(fetchQuery, subscribe);

function parameters(text) {
  const [operationKind, name] = text.split(/[\s({]+/);
  return { id: documentId(text), cacheID: documentId(text), text: null, name, operationKind, metadata: { text } };
}

await play({
  // Relay throws where there is no data at all; with some, it gives data and errors.
  request: (text, variables) => network.execute(parameters(text), variables, { force: true }).toPromise(),
  subscribe(text, variables, sink) {
    const subscription = network.execute(parameters(text), variables, { force: true }).subscribe(sink);
    return () => subscription.unsubscribe();
  },
  close: () => socket.dispose(),
});

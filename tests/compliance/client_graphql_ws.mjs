// graphql-ws
import { createClient } from 'graphql-ws';
import { play, sleep, wsUrl } from './scenarios.mjs';

const client = createClient({ url: wsUrl, retryAttempts: 200, retryWait: () => sleep(20), shouldRetry: () => true });

function one(payload) {
  return new Promise((resolve, reject) => {
    let result;
    client.subscribe(payload, { next: (value) => (result = value), error: reject, complete: () => resolve(result) });
  });
}

await play(
  {
    request: (query, variables) => one({ query, variables }),
    subscribe: (query, variables, sink) => client.subscribe({ query, variables }, sink),
    close: () => client.dispose(),
  },
  {
    async persisted() {
      const query = '{ hello }';
      const extensions = { persistedQuery: { version: 1, sha256Hash: await sha256(query) } };
      await one({ query, extensions });
      return (await one({ query: '', extensions })).data.hello;
    },
  },
);

async function sha256(text) {
  return Buffer.from(await crypto.subtle.digest('SHA-256', new TextEncoder().encode(text))).toString('hex');
}

// graphql-sse; the second argument says which mode: distinct or single
import { createClient } from 'graphql-sse';
import { httpUrl, play, sleep } from './scenarios.mjs';

const client = createClient({
  url: httpUrl,
  singleConnection: process.argv[3] === 'single',
  retryAttempts: 200,
  retry: () => sleep(20),
  headers: { authorization: 'Bearer ann' },
});

function one(payload) {
  return new Promise((resolve, reject) => {
    let result;
    client.subscribe(payload, { next: (value) => (result = value), error: reject, complete: () => resolve(result) });
  });
}

await play({
  request: (query, variables) => one({ query, variables }),
  subscribe: (query, variables, sink) => client.subscribe({ query, variables }, sink),
  close: () => client.dispose(),
});

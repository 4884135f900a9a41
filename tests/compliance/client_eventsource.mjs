// A browser's EventSource (the package of that name): it opens again by itself and says what it has seen by Last-Event-ID
import { EventSource } from 'eventsource';
import { control, httpUrl } from './scenarios.mjs';

const shown = await control('publish');
const target = new URL(httpUrl);
target.searchParams.set('query', `subscription { news(shown: [${shown}]) }`);
const lastEventIds = [];
const source = new EventSource(target, {
  fetch(input, init) {
    const headers = new Headers(init.headers);
    lastEventIds.push(headers.get('last-event-id'));
    headers.set('graphql-require-preflight', '1');
    return fetch(input, { ...init, headers });
  },
});
const found = [];
source.addEventListener('next', async ({ data }) => {
  found.push(JSON.parse(data).data.news - shown);
  if (found.length === 2) {
    await control('restart');
    await control('publish');
  }
  if (found.at(-1) === 3) {
    source.close();
    process.stdout.write(JSON.stringify({ found, resumedAfter: lastEventIds.at(-1) - shown }), () => process.exit(0));
  }
});
// Its pause before it comes back keeps no process alive.
setInterval(() => {}, 1000);
await control('publish');
await control('publish');

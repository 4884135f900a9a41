// urql: fetchExchange, subscriptions by graphql-sse and by its own reader of event streams, persisted queries
import { Client, fetchExchange, gql, subscriptionExchange } from '@urql/core';
import { persistedExchange } from '@urql/exchange-persisted';
import { createClient } from 'graphql-sse';
import { collect, httpUrl, play, recordingFetch, sleep } from './scenarios.mjs';

const streams = createClient({ url: httpUrl, retryAttempts: 200, retry: () => sleep(20) });
const forward = subscriptionExchange({
  forwardSubscription: (request) => ({
    subscribe: (sink) => ({ unsubscribe: streams.subscribe({ query: request.query ?? '', variables: request.variables }, sink) }),
  }),
});
const common = { url: httpUrl, preferGetMethod: false };
const client = new Client({ ...common, exchanges: [forward, fetchExchange] });
const own = new Client({ ...common, exchanges: [fetchExchange], fetchSubscriptions: true });

function adapterOf(client) {
  return {
    async request(text, variables) {
      const operation = text.startsWith('mutation') ? client.mutation(gql(text), variables) : client.query(gql(text), variables);
      const { data, error } = await operation.toPromise();
      return { data, errors: error?.graphQLErrors };
    },
    subscribe(text, variables, sink) {
      const { unsubscribe } = client.subscription(gql(text), variables).subscribe(({ data, error, hasNext }) => {
        if (error) sink.next({ errors: error.graphQLErrors.length ? error.graphQLErrors : [error] });
        else if (data) sink.next({ data });
        if (hasNext === false) sink.complete();
      });
      return unsubscribe;
    },
  };
}

await play(
  { ...adapterOf(client), close: () => streams.dispose() },
  {
    async subscription() {
      // urql tells the end of a subscription by ending the source, which its observers are not told.
      return collect(adapterOf(client), 'subscription Count { count(to: 3) }', {}, (found) => found.length === 3);
    },
    async ownStreams() {
      return collect(adapterOf(own), 'subscription Count { count(to: 3) }', {}, (found) => found.length === 3);
    },
    async persisted() {
      const answers = {};
      for (const preferGetForPersistedQueries of [false, 'force']) {
        const sent = [];
        const exchanges = [persistedExchange({ preferGetForPersistedQueries }), fetchExchange];
        const other = new Client({ ...common, exchanges, fetch: recordingFetch(sent), requestPolicy: 'network-only' });
        const query = gql(`query Urql${preferGetForPersistedQueries ? 'Get' : 'Post'} { hello }`);
        const first = (await other.query(query, {}).toPromise()).data?.hello;
        const second = (await other.query(query, {}).toPromise()).data?.hello;
        answers[preferGetForPersistedQueries ? 'get' : 'post'] = [first === second && first, sent];
      }
      return answers;
    },
  },
);

// @apollo/client: HttpLink, GraphQLWsLink over graphql-ws, and its persisted queries
import { ApolloClient, ApolloLink, HttpLink, InMemoryCache, gql } from '@apollo/client';
import { PersistedQueryLink } from '@apollo/client/link/persisted-queries';
import { GraphQLWsLink } from '@apollo/client/link/subscriptions';
import { createHash } from 'node:crypto';
import { createClient } from 'graphql-ws';
import { httpUrl, play, recordingFetch, sleep, wsUrl } from './scenarios.mjs';

const socket = createClient({ url: wsUrl, retryAttempts: 200, retryWait: () => sleep(20), shouldRetry: () => true });
const sha256 = (text) => createHash('sha256').update(text).digest('hex');
const link = ApolloLink.split(
  ({ operationType }) => operationType === 'subscription',
  new GraphQLWsLink(socket),
  new HttpLink({ uri: httpUrl }),
);
const options = { query: { errorPolicy: 'all', fetchPolicy: 'no-cache' }, mutate: { errorPolicy: 'all', fetchPolicy: 'no-cache' } };
const client = new ApolloClient({ link, cache: new InMemoryCache(), defaultOptions: options });

await play(
  {
    async request(text, variables) {
      const document = gql(text);
      const { data, error } = text.startsWith('mutation')
        ? await client.mutate({ mutation: document, variables })
        : await client.query({ query: document, variables });
      return { data, errors: error?.errors };
    },
    subscribe(text, variables, sink) {
      const observable = client.subscribe({ query: gql(text), variables, fetchPolicy: 'no-cache', errorPolicy: 'all' });
      const subscription = observable.subscribe({
        next: ({ data, error }) => sink.next({ data, errors: error ? (error.errors ?? [error]) : undefined }),
        error: sink.error,
        complete: sink.complete,
      });
      return () => subscription.unsubscribe();
    },
    close() {
      client.stop();
      return socket.dispose();
    },
  },
  {
    async persisted() {
      const answers = {};
      for (const useGETForHashedQueries of [false, true]) {
        const sent = [];
        const http = new HttpLink({ uri: httpUrl, fetch: recordingFetch(sent) });
        const persisted = new PersistedQueryLink({ sha256, useGETForHashedQueries });
        const other = new ApolloClient({ link: persisted.concat(http), cache: new InMemoryCache(), defaultOptions: options });
        // The operation's name is new each time: the gateway cannot know it.
        const query = gql(`query Persisted${useGETForHashedQueries ? 'Get' : 'Post'} { hello }`);
        const first = (await other.query({ query })).data.hello;
        const second = (await other.query({ query })).data.hello;
        answers[useGETForHashedQueries ? 'get' : 'post'] = [first === second && first, sent];
        other.stop();
      }
      return answers;
    },
  },
);

// What every client is put through. An adapter has
//   request(query, variables) -> {data, errors}
//   subscribe(query, variables, {next, error, complete}) -> function that ends it
//   close()
// The answer of each scenario goes to standard output as one JSON object; the test compares it.
const url = process.argv[2];
export const httpUrl = url;
export const wsUrl = url.replace(/^http/, 'ws');
export const DEADLINE_MS = 15_000;

export const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

// Plain, so that it works whatever the client under test does; tried again while the gateway is away.
export async function control(mutation) {
  for (;;) {
    try {
      const headers = { 'content-type': 'application/json' };
      const response = await fetch(url, { method: 'POST', headers, body: JSON.stringify({ query: `mutation { ${mutation} }` }) });
      if (response.ok) return (await response.json()).data[mutation];
    } catch {
      // away: it restarts
    }
    await sleep(20);
  }
}

// Collects what a subscription gives until `enough(results)`; errors end it at once.
export function collect(adapter, query, variables, enough) {
  const found = [];
  return new Promise((resolve) => {
    let stop = () => {};
    let over = false;
    const end = () => {
      if (over) return;
      over = true;
      setTimeout(() => stop(), 0);
      resolve(found);
    };
    const add = (value) => {
      if (over) return;
      found.push(value);
      if (enough(found)) end();
    };
    stop = adapter.subscribe(query, variables, {
      next: (result) => add(result.errors?.length ? { code: result.errors[0].extensions?.code } : Object.values(result.data)[0]),
      error: (problem) => {
        add({ code: codeOf(problem) });
        end();
      },
      complete: () => {
        add('complete');
        end();
      },
    });
  });
}

export function codeOf(problem) {
  const first = Array.isArray(problem) ? problem[0] : (problem?.errors ?? problem?.graphQLErrors ?? problem?.cause?.errors ?? [problem])[0];
  return first?.extensions?.code ?? String(first?.message ?? problem);
}

const NEWS = 'subscription News($shown: [Int!]! = []) { news(shown: $shown) }';

const SCENARIOS = {
  async query(adapter) {
    return (await adapter.request('query Hello($n: String!) { hello(name: $n) }', { n: 'x' })).data.hello;
  },
  async mutation(adapter) {
    return (await adapter.request('mutation Write($t: String!) { write(text: $t) }', { t: 'written' })).data.write;
  },
  async error(adapter) {
    const { data, errors } = await adapter.request('query Refused { refused hello }', {});
    return { code: codeOf(errors), hello: data?.hello ?? null };
  },
  async subscription(adapter) {
    return collect(adapter, 'subscription Count { count(to: 3) }', {}, () => false);
  },
  async refused(adapter) {
    return collect(adapter, 'subscription Fail { fail(why: "forbidden") }', {}, (found) => found.length > 0);
  },
  async resume(adapter) {
    const first = await control('publish');
    const second = await control('publish');
    const before = await collect(adapter, NEWS, { shown: [first - 1] }, (found) => found.length === 2);
    const third = await control('publish');
    const after = await collect(adapter, NEWS, { shown: [second] }, (found) => found.length === 1);
    return before.join() === [first, second].join() && after.join() === String(third) ? 'nothing lost, nothing twice' : { before, after };
  },
  async restart(adapter) {
    const shown = await control('publish');
    let asked = false;
    const enough = (found) => {
      if (!asked && found.at(-1) === shown + 1) {
        asked = true;
        control('restart').then(() => control('publish')).then(() => control('publish'));
      }
      return found.at(-1) === shown + 3;
    };
    const collecting = collect(adapter, NEWS, { shown: [shown] }, enough);
    await control('publish');
    const found = await collecting;
    // A client that comes back asks for the same again: twice is good, never is not.
    const distinct = [...new Set(found)];
    return distinct.join() === [shown + 1, shown + 2, shown + 3].join() ? 'all came' : found;
  },
};

export async function play(adapter, more = {}) {
  const answers = {};
  for (const [name, scenario] of Object.entries({ ...SCENARIOS, ...more })) {
    let timer;
    const late = new Promise((resolve) => (timer = setTimeout(() => resolve('too late'), DEADLINE_MS)));
    try {
      answers[name] = await Promise.race([scenario(adapter), late]);
    } catch (problem) {
      answers[name] = { threw: String(problem?.stack ?? problem) };
    }
    clearTimeout(timer);
  }
  await adapter.close?.();
  process.stdout.write(JSON.stringify(answers), () => process.exit(0));
}

// Counts what a client of Apollo's persisted queries sends: the hash alone, or with the text.
export function recordingFetch(sent) {
  return async (input, init) => {
    const target = new URL(typeof input === 'string' ? input : input.url ?? input);
    const body = init?.body ? JSON.parse(init.body) : Object.fromEntries(target.searchParams);
    const headers = new Headers(init?.headers);
    headers.set('graphql-require-preflight', '1');
    sent.push(body.query ? 'hash and text' : 'hash');
    return fetch(input, { ...init, headers });
  };
}

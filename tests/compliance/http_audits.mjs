// Runs the audits of graphql-http against the URL that is given, and prints [{id, name, status, reason}] as JSON.
import { serverAudits } from 'graphql-http';

const url = process.argv[2];

// A GET must prove that no foreign page sent it.
function fetchFn(input, init = {}) {
  const headers = new Headers(init.headers);
  if ((init.method ?? 'GET') === 'GET') headers.set('graphql-require-preflight', '1');
  return fetch(input, { ...init, headers });
}

const found = [];
for (const audit of serverAudits({ url, fetchFn })) {
  const result = await audit.fn();
  found.push({ id: audit.id, name: audit.name, status: result.status, reason: result.status === 'ok' ? '' : String(result.reason) });
}
process.stdout.write(JSON.stringify(found));

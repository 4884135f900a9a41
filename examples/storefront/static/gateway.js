// Requests to the gateway in the visitor's name. The token is a cookie that the shop's server sets and renews.

const RETRY_BASE_MS = 500;
const RETRY_MAX_MS = 30_000;

export class GatewayError extends Error {
  constructor(code, message, retryAfterMs = 0) {
    super(message);
    this.code = code;
    this.retryAfterMs = retryAfterMs;
  }
}

const TRY_AGAIN = new Set(["THROTTLED", "UNAVAILABLE", "UNAUTHENTICATED", "INTERNAL_SERVER_ERROR"]);

/** Whether the same request may succeed later: no answer at all, or a refusal that passes. */
export function mayPass(error) {
  return !(error instanceof GatewayError) || TRY_AGAIN.has(error.code);
}

/** The first of GraphQL errors as a GatewayError. */
export function errorOf(errors) {
  const { message = "no reason given", extensions = {} } = errors?.[0] ?? {};
  return new GatewayError(extensions.code ?? "INTERNAL_SERVER_ERROR", message, extensions.retryAfterMs ?? 0);
}

export function visitorToken() {
  return /(?:^|; )visitor_token=([^;]+)/.exec(document.cookie)?.[1] ?? null;
}

let renewal = null;

/** Ask the shop's server for a token: the same visitor's, or a new visitor's. One request at a time. */
export function renewVisit() {
  renewal ??= fetch("/visit", { method: "POST", signal: AbortSignal.timeout(10_000) })
    .then((response) => {
      if (!response.ok) throw new GatewayError("UNAVAILABLE", "the shop could not start a visit");
      return response.json();
    })
    .finally(() => {
      renewal = null;
    });
  return renewal;
}

/** Data of a query or mutation. Throws GatewayError when refused, TypeError and the like when there is no answer. */
export async function request(endpoint, query, variables, options = {}) {
  // No await before fetch: an event sent while the page is left must be under way at once.
  const response = await fetch(endpoint, {
    method: "POST",
    headers: { accept: "application/json", "content-type": "application/json", authorization: `Bearer ${visitorToken()}` },
    body: JSON.stringify({ query, variables }),
    signal: AbortSignal.timeout(10_000),
    ...options,
  });
  const answer = await response.json();
  if (answer.errors?.length) throw errorOf(answer.errors);
  return answer.data;
}

/** How long to wait before the next try: doubling, at random within its upper half, so that pages do not come all at once. */
export function backoffMs(failures) {
  return Math.min(RETRY_MAX_MS, RETRY_BASE_MS * 2 ** failures) * (0.5 + Math.random() / 2);
}

export function pause(ms, signal) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    signal?.addEventListener("abort", () => (clearTimeout(timer), resolve()), { once: true });
  });
}

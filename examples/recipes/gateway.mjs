/**
 * The gateway for a page's server: banners within a deadline, and the two cookies that server and snippet share. No dependencies.
 * It behaves like the client for Python: a fault of the gateway or the network never becomes an error of the page, but one line in
 * the log, without a credential.
 */
import { createHash } from "node:crypto";

export const TOKEN_COOKIE = "visitor_token";
/** Set by the snippet: the log position of the visitor's last event, so that the next page knows it. */
export const CURSOR_COOKIE = "visitor_cursor";

/** For this long the gateway renews a token after it has expired (its setting visitor_renewal_days). */
export const TOKEN_COOKIE_S = 30 * 24 * 3600;
const RENEW_BEFORE_END_S = 600;
/** The part of the deadline that is left for the way to the gateway and back, while it waits for the cursor's event. */
const COVER_MARGIN_MS = 50;
/** Errors of a connection that the gateway closed while it was idle. */
const CUT = ["UND_ERR_SOCKET", "ECONNRESET", "EPIPE"];
/** A gateway that runs only known documents identifies them by their SHA-256. They are those of the client for Python. */
const START_VISIT = `mutation StartVisit($token: String) {
  startVisit(token: $token) { anonymousId token expiresAt serverTime }
}`;
const BANNERS = `query Banners($placements: [ID!]!, $userId: ID, $page: PageInput, $after: Cursor, $maxWaitMs: Int!, $previewToken: String) {
  banners(placements: $placements, userId: $userId, page: $page, after: $after, maxWaitMs: $maxWaitMs, previewToken: $previewToken) {
    ...Decision
  }
}

fragment Decision on BannerDecision {
  id
  placement
  reason
  campaignId
  variant
  rulesetVersion
  contextVersion
  cursor
  fresh
  decidedAt
  validUntil
  banner {
    id
    headline
    body
    linkUrl
    ctaLabel
    locale
    data
    image { url alt width height }
    products { productId category }
  }
}`;

/** There was no usable answer; `code` is one word for the log. */
class GatewayError extends Error {
  constructor(code) {
    super(code);
    this.code = code;
  }
}

export class Gateway {
  #endpoint;
  #publishableKey;
  #deadlineMs;

  /** `endpoint`: the GraphQL address. `deadlineMs`: the time for all requests of one page together. */
  constructor(endpoint, publishableKey, { deadlineMs = 150 } = {}) {
    this.#endpoint = endpoint;
    this.#publishableKey = publishableKey;
    this.#deadlineMs = deadlineMs;
  }

  /**
   * What a page needs, from the values of its cookies: the visitor's token, new or renewed if necessary (`started`: a new token, which
   * belongs in the cookie), and the decisions by placement. A placement without a decision shows the page's own content.
   */
  async personalize(placements, { token, after, page } = {}) {
    const deadline = { signal: AbortSignal.timeout(this.#deadlineMs), atMs: performance.now() + this.#deadlineMs };
    let visitor = await this.#visitor(readToken(token), deadline);
    const nothing = { ...visitor, decisions: {} };
    if (!visitor.token || !placements.length) return nothing;
    try {
      return { ...visitor, decisions: await this.#banners(visitor.token, { placements, page, after: readCursor(after) }, deadline) };
    } catch (problem) {
      if (visitor.started || problem.code !== "UNAUTHENTICATED") return note("banner", problem, nothing);
    }
    // The token is not what it seemed: a new visitor, who has no events yet.
    visitor = await this.#visitor(undefined, deadline);
    if (!visitor.token) return { decisions: {} };
    const decisions = await this.#banners(visitor.token, { placements, page }, deadline).catch((problem) => note("banner", problem, {}));
    return { ...visitor, decisions };
  }

  /** A valid token, and the new one if there is one. While the gateway has a fault, the old token is used until it expires. */
  async #visitor(token, deadline) {
    const { exp = 0, by } = claims(token);
    const remainingS = exp - Date.now() / 1000;
    // A known user's token was signed by the shop, which renews it.
    if (remainingS > (by === "startVisit" ? RENEW_BEFORE_END_S : 0)) return { token };
    try {
      const started = await this.#startVisit(token, deadline);
      return { token: started.token, started };
    } catch (problem) {
      return note("startVisit", problem, remainingS > 0 ? { token } : {});
    }
  }

  async #startVisit(token, deadline) {
    try {
      return visitOf(await this.#send("StartVisit", START_VISIT, { token }, this.#publishableKey, deadline));
    } catch (problem) {
      if (!token || !["UNAUTHENTICATED", "FORBIDDEN", "BAD_USER_INPUT"].includes(problem.code)) throw problem;
    }
    return visitOf(await this.#send("StartVisit", START_VISIT, {}, this.#publishableKey, deadline));
  }

  async #banners(token, variables, deadline) {
    const maxWaitMs = variables.after ? Math.max(0, Math.floor(deadline.atMs - performance.now()) - COVER_MARGIN_MS) : 0;
    try {
      return decisionsOf(await this.#send("Banners", BANNERS, { ...variables, maxWaitMs }, token, deadline));
    } catch (problem) {
      if (!variables.after || problem.code !== "BAD_USER_INPUT") throw problem;
    }
    // The cursor comes from a cookie, so it may be invalid; the banner does not depend on it.
    return this.#banners(token, { ...variables, after: undefined }, deadline);
  }

  /** The value of the operation's only field. Throws GatewayError. */
  async #send(operationName, query, variables, bearer, { signal }) {
    const documentId = `sha256:${createHash("sha256").update(query).digest("hex")}`;
    const headers = { authorization: `Bearer ${bearer}`, accept: "application/json", "content-type": "application/json" };
    const body = JSON.stringify({ operationName, documentId, query, variables });
    const request = { method: "POST", redirect: "error", headers, body, signal };
    try {
      // Every operation may be sent again: one more try, on a new connection.
      const again = (problem) => (CUT.includes(problem.cause?.code) ? fetch(this.#endpoint, request) : Promise.reject(problem));
      const { data, errors } = await (await fetch(this.#endpoint, request).catch(again)).json();
      const answer = data && Object.values(data)[0];
      if (!answer) throw new GatewayError(errors?.[0]?.extensions?.code ?? "unusable answer");
      return answer;
    } catch (problem) {
      if (problem instanceof GatewayError) throw problem;
      throw new GatewayError(signal.aborted ? "too late" : (problem.cause?.code ?? problem.name));
    }
  }
}

/** A `Set-Cookie` for a visitor's token. Scripts can read the cookie, because the snippet sends the token to the gateway. */
export const tokenCookie = (token, isSecure) =>
  `${TOKEN_COOKIE}=${token}; Max-Age=${TOKEN_COOKIE_S}; Path=/; SameSite=Lax${isSecure ? "; Secure" : ""}`;

/** The cookies of a request's `Cookie` header, by name. */
export const cookiesOf = (header = "") => Object.fromEntries(header.split(/; */).map((pair) => pair.split(/=(.*)/s, 2)));

const TOKEN = /^[\w-]{1,2048}\.[\w-]{1,4096}\.[\w-]{1,1024}$/;
const CURSOR = /^[\w.~=+/-]{1,2048}$/;
const readToken = (cookie) => (TOKEN.test(cookie) && claims(cookie).exp ? cookie : undefined);
const readCursor = (cookie) => (CURSOR.test(cookie ?? "") ? cookie : undefined);

/** The claims of a token, unverified: the gateway checks the signature. */
function claims(token = "..") {
  try {
    const { exp, by } = JSON.parse(Buffer.from(token.split(".")[1], "base64url"));
    return { exp: Number(exp) || 0, by };
  } catch {
    return {};
  }
}

const isString = (value) => typeof value === "string";
const isStringOrNull = (value) => value == null || isString(value);
const usable = (answer, isUsable) => {
  if (!isUsable) throw new GatewayError("unusable answer");
  return answer;
};
const visitOf = (visit) => usable(visit, readToken(visit.token));
const decisionsOf = (answer) => {
  const decisions = usable(answer, Array.isArray(answer) && answer.every(isDecision));
  return Object.fromEntries(decisions.map((decision) => [decision.placement, decision]));
};

/** Whether it can be rendered. The reason is not looked at: there may be new values, and the banner does not depend on it. */
function isDecision(value) {
  const { id, placement, campaignId, variant, banner } = value ?? {};
  const { id: bannerId, headline, body, linkUrl, ctaLabel, image } = banner ?? { id: "", headline: "" };
  return (
    [id, placement, bannerId, headline].every(isString) &&
    [campaignId, variant, body, linkUrl, ctaLabel].every(isStringOrNull) &&
    (image == null || (isString(image.url) && isString(image.alt)))
  );
}

function note(part, problem, otherwise) {
  if (!(problem instanceof GatewayError)) throw problem;
  console.warn(`The gateway gave no answer to ${part}: ${problem.code}`);
  return otherwise;
}

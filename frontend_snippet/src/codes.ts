/** The gateway's codes by name. tests/unit/frontend_snippet/test_codes.py compares them with the gateway's own lists. */

/** The credential is missing, forged or expired: the next request needs another one. */
export const UNAUTHENTICATED = "UNAUTHENTICATED";
/** A defect of the gateway; what was sent may have caused it. */
export const INTERNAL_SERVER_ERROR = "INTERNAL_SERVER_ERROR";
/** The gateway does not know the hash of our document: the next request carries its text. */
export const PERSISTED_QUERY_NOT_FOUND = "PERSISTED_QUERY_NOT_FOUND";

/** `extensions.code` of a refusal after which the same request may succeed later. */
export const TEMPORARY = ["THROTTLED", "UNAVAILABLE", UNAUTHENTICATED, INTERNAL_SERVER_ERROR, PERSISTED_QUERY_NOT_FOUND] as const;

/** `extensions.code` of a refusal that the same request would get again. A code in neither list is treated as one of these. */
export const FINAL = [
  "GRAPHQL_PARSE_FAILED",
  "GRAPHQL_VALIDATION_FAILED",
  "BAD_USER_INPUT",
  "BAD_REQUEST",
  "OPERATION_RESOLUTION_FAILURE",
  "FORBIDDEN",
  "NOT_FOUND",
  "CONFLICT",
  "PAYLOAD_TOO_LARGE",
] as const;

export type ErrorCode = (typeof TEMPORARY | typeof FINAL)[number];

/** What was sent may be the cause: a defect of the gateway, or the HTTP status of something on the way, such as a firewall. */
export const CONTENT_CODES = [INTERNAL_SERVER_ERROR, 400, 403, 410, 413] as const;

/** `status` of a result. After ACCEPTED or REJECTED an item leaves the queue; otherwise it is sent again. */
export const STATUSES = ["ACCEPTED", "REJECTED", "UNKNOWN"] as const;
export type Status = (typeof STATUSES)[number];

/** The close code of a WebSocket whose credential is malformed, forged or expired. */
export const CLOSE_FORBIDDEN = 4403;

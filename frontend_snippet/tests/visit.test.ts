/** What happens to a visitor, in which order: the chunk's functions with a core that records how it is called. */
import assert from "node:assert/strict";
import { test } from "node:test";

import type { Core } from "../src/host.ts";
import { identify } from "../src/lazy/visit.ts";

test("a login reads the new token back from the cookie before the other tabs hear of it", async () => {
  const calls: string[] = [];
  const results: Record<string, unknown> = { _known: "old", _given: {}, _claims: () => ({ by: "startVisit" }) };
  const core = new Proxy({} as Core, {
    get: (_, name: string) => {
      if (name === "_given") return results[name];
      return (...parameters: unknown[]) => {
        calls.push(name);
        return typeof results[name] === "function" ? (results[name] as (...all: unknown[]) => unknown)(...parameters) : results[name];
      };
    },
  });
  await identify(core, { token: "new" });
  const order = calls.filter((name) => ["_setToken", "_cookie", "_changed"].includes(name));
  assert.deepEqual(order, ["_setToken", "_cookie", "_changed"]);
});

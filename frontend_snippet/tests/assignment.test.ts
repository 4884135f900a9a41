/** The shared vectors give the same in TypeScript: run by `node --test`, and by tests/unit/decisions/test_assignment.py. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { choose, isWithin, murmur3, point } from "../src/assignment.ts";

type Vector = [string, string, number[], number, number, number, boolean];
const vectors: Vector[] = JSON.parse(readFileSync(new URL("../vectors/assignment.json", import.meta.url), "utf8"));

test("the hash gives the published values", () => {
  const of = (text: string) => murmur3(new TextEncoder().encode(text));
  assert.deepEqual([of(""), of("hello"), of("hello, world")], [0, 0x248bfa47, 0x149bbb7f]);
});

test("every shared vector gives the same point, variant and holdout", () => {
  assert.ok(vectors.length >= 10_000);
  for (const [salt, id, weights, share, at, index, held] of vectors) {
    assert.deepEqual([point(salt, id), choose(weights, salt, id), isWithin(share, salt, id)], [at, index, held], `${salt} ${id}`);
  }
});

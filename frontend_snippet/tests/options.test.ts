/** Options: each is found by its whole name, and a mistake is named once. */
import assert from "node:assert/strict";
import { mock, test } from "node:test";

(globalThis as { __DOCS__?: string }).__DOCS__ = "README.md";
const { configured, setOptions } = await import("../src/options.ts");
const complaints = mock.method(console, "error", () => undefined).mock;
const lastComplaint = (): unknown => complaints.calls.at(-1)?.arguments[0];

test("every option of the README is taken over", () => {
  const token = async () => "t";
  const options = { endpoint: "/g", key: "pk_1", token, page: { type: "home" }, consent: "pending", transport: "sse", preview: "p" } as const;
  setOptions(options);
  assert.deepEqual({ ...configured }, options);
  assert.equal(complaints.callCount(), 0);
});

test("an unknown option is left out, and the message has its name; a part of a name is not the name", () => {
  for (const name of ["ken", "transprot", "ey", "key,token", "", "constructor", "Key"]) {
    setOptions({ [name]: "x" } as never);
    assert.equal(lastComplaint(), `live-banner: unknown option ${name}. See README.md`);
    assert.ok(!Object.hasOwn(configured, name), name);
  }
});

test("the same mistake is named once", () => {
  const before = complaints.callCount();
  setOptions({ ken: 1 } as never);
  assert.equal(complaints.callCount(), before);
});

/**
 * Assignment: which variant a visitor gets, by a hash of a stable id and a salt. The same as
 * gateway/model/decisions/assignment.py.
 *
 * MurmurHash3, x86, 32 bits (Austin Appleby, public domain) over the UTF-8 bytes of salt + "\0" + stable id. All numbers
 * stay below 2^53, so they are exact.
 */

/** The weights of one split sum to at most this. */
export const MAX_TOTAL_WEIGHT = 1_000_000;
/** A share is counted in units of 1/10,000. */
export const SHARE_UNITS = 10_000;

const TWO_32 = 2 ** 32;

const mixed = (k: number): number => {
  k = Math.imul(k, 0xcc9e2d51);
  k = (k << 15) | (k >>> 17);
  return Math.imul(k, 0x1b873593);
};

/** MurmurHash3_x86_32 with seed 0: 0 to 2^32 - 1. */
export const murmur3 = (data: Uint8Array): number => {
  let h = 0;
  const whole = data.length & ~3;
  for (let i = 0; i < whole; i += 4) {
    h ^= mixed(data[i]! | (data[i + 1]! << 8) | (data[i + 2]! << 16) | (data[i + 3]! << 24));
    h = (h << 13) | (h >>> 19);
    h = (Math.imul(h, 5) + 0xe6546b64) | 0;
  }
  let rest = 0;
  for (let i = data.length - 1; i >= whole; i--) rest = (rest << 8) | data[i]!;
  if (data.length > whole) h ^= mixed(rest);
  h ^= data.length;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
};

/** The visitor's point for this salt: 0 to 2^32 - 1, evenly spread. */
export const point = (salt: string, stableId: string): number => {
  return murmur3(new TextEncoder().encode(`${salt}\0${stableId}`));
};

/** The index of the visitor's share; weights are positive integers, together at most MAX_TOTAL_WEIGHT. */
export const choose = (weights: readonly number[], salt: string, stableId: string): number => {
  if (weights.length === 1) return 0;
  const at = point(salt, stableId) * weights.reduce((sum, weight) => sum + weight, 0);
  let reached = 0;
  for (const [index, weight] of weights.entries()) {
    reached += weight;
    if (at < reached * TWO_32) return index;
  }
  throw new RangeError("weights must be positive");
};

/** Whether the visitor belongs to a share of all visitors, in units of 1/10,000. */
export const isWithin = (share: number, salt: string, stableId: string): boolean => {
  return share > 0 && point(salt, stableId) * SHARE_UNITS < share * TWO_32;
};

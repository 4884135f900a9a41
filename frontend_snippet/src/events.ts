/** Server-sent events (HTML Living Standard, section 9.2.6), as far as graphql-sse uses them. Pure. */

/**
 * Calls `next` with the data, as JSON, of each event that is complete in `text`; returns the rest. Only line ends split: JSON may hold
 * U+2028. Throws a SyntaxError at data that is not JSON.
 */
export const parseEvents = (text: string, next: (data: any) => void): string => {
  const blocks = text.split(/\r?\n\r?\n/);
  const rest = blocks.pop()!;
  // A comment has no data, and that of `complete` is empty.
  for (const block of blocks) for (const [, data] of block.matchAll(/data: ?([^\r\n]+)/g)) next(JSON.parse(data!));
  return rest;
};

/** Server-sent events (HTML Living Standard, section 9.2.6), as far as graphql-sse uses them. Pure. */

/** The data of events that are complete in `text`, and the rest that is not. Only line ends split: JSON may hold U+2028. */
export const parseEvents = (text: string): [data: string[], rest: string] => {
  const blocks = text.split(/\r?\n\r?\n/);
  const rest = blocks.pop()!;
  // A comment has no data, and `complete` has none that is not empty.
  return [blocks.flatMap((block) => /data: ?([^\r\n]+)/.exec(block)?.[1] ?? []), rest];
};

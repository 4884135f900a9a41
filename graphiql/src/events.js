/** The events of a `text/event-stream` body, as the gateway writes it: lines end with LF, an event has one line of data. */
export async function* readEvents(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  for (let text = ""; ; ) {
    const { value, done } = await reader.read();
    if (done) return;
    const blocks = (text + value).split("\n\n");
    text = blocks.pop();
    for (const block of blocks) {
      const fields = Object.fromEntries(block.split("\n").map((line) => line.match(/^(\w*): ?(.*)$/)?.slice(1) ?? [line, ""]));
      if (fields.event) yield { name: fields.event, data: fields.data };
    }
  }
}

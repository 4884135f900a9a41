/** The gateway under a path of the page's own origin: passed on as it comes, so that event streams flow; cookies stay here. */
export async function POST(request) {
  const headers = new Headers(request.headers);
  for (const name of ["cookie", "host", "connection", "content-length"]) headers.delete(name);
  headers.set("accept-encoding", "identity");
  const { method, body, signal } = request;
  try {
    const answer = await fetch(process.env.GATEWAY_URL, { method, headers, body, signal, duplex: "half", cache: "no-store" });
    return new Response(answer.body, answer);
  } catch {
    return new Response("The gateway does not answer.", { status: 502 });
  }
}

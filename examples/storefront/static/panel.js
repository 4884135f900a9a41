// The panel: what the gateway knows about this visitor, the decision with its reasons, and how long each change took.

const EVERY_MS = 2_000;
const MAX_CHANGES = 8;
const panel = document.querySelector("[data-panel]");
const title = panel.querySelector("h2");
const changes = [];
let lastRequest = 0;

function node(name, text, ...children) {
  const element = document.createElement(name);
  if (text) element.textContent = text;
  element.append(...children);
  return element;
}

function pairs(entries) {
  return node("dl", "", ...entries.flatMap(([name, value]) => [node("dt", name), node("dd", String(value ?? "nothing yet"))]));
}

function contextOf(context) {
  if (!context) return [node("p", "Nothing is known about this visitor yet.")];
  const cart = context.cart.map((line) => `${line.quantity} x ${line.category ?? line.product_id}`).join(", ");
  const interests = context.interests.map(({ category, score }) => `${category} ${score.toFixed(1)}`).join(", ");
  return [
    pairs([
      ["interested in", context.interested_category],
      ["interests", interests || null],
      ["cart", cart || null],
      ["orders", context.purchases.count],
      ["events", context.version],
    ]),
  ];
}

function decisionOf(explanation) {
  if (!explanation) return [];
  const { decision, steps } = explanation;
  return [
    node("h3", "Decision"),
    pairs([
      ["banner", decision.banner?.headline ?? "the page's own"],
      ["reason", decision.reason],
      ["campaign", decision.campaign_id],
    ]),
    node("h3", "Campaigns"),
    node("ol", "", ...steps.map((step) => node("li", `${step.campaign_id}: ${step.outcome}. ${step.detail}`))),
  ];
}

function changesOf() {
  if (changes.length === 0) return [];
  return [node("h3", "Changes"), node("ol", "", ...changes.map((text) => node("li", text)))];
}

async function refresh() {
  if (document.hidden) return;
  const request = ++lastRequest;
  let state;
  try {
    const response = await fetch("/panel.json", { signal: AbortSignal.timeout(5_000) });
    state = await response.json();
  } catch {
    state = { problem: "the shop does not answer" };
  }
  if (request !== lastRequest) return; // a newer answer is on its way
  const content = state.problem ? [node("p", state.problem)] : [...contextOf(state.context), ...decisionOf(state.explanation)];
  panel.replaceChildren(title, ...content, ...changesOf());
}

document.addEventListener("shop:banner-updated", ({ detail }) => {
  changes.unshift(`${new Date().toLocaleTimeString()}: ${detail.tookMs} ms from click to banner`);
  changes.splice(MAX_CHANGES);
  refresh();
});
setInterval(refresh, EVERY_MS);
refresh();

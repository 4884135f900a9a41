// The panel: what the gateway knows of this visitor, the decision with its reasons, and how long each change took.

const EVERY_MS = 2_000;
const MAX_CHANGES = 8;
const panel = document.querySelector("[data-panel]");
const title = panel.querySelector("h2");
const changes = [];
let asked = 0;

function node(name, text, ...children) {
  const made = document.createElement(name);
  if (text) made.textContent = text;
  made.append(...children);
  return made;
}

function pairs(entries) {
  return node("dl", "", ...entries.flatMap(([name, value]) => [node("dt", name), node("dd", String(value ?? "nothing yet"))]));
}

function contextOf(context) {
  if (!context) return [node("p", "Nothing is known of this visitor yet.")];
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
  const number = ++asked;
  let found = {};
  try {
    const response = await fetch("/panel.json", { signal: AbortSignal.timeout(5_000) });
    found = await response.json();
  } catch {
    found = { problem: "the shop does not answer" };
  }
  if (number !== asked) return; // a newer answer is on its way
  const content = found.problem ? [node("p", found.problem)] : [...contextOf(found.context), ...decisionOf(found.explanation)];
  panel.replaceChildren(title, ...content, ...changesOf());
}

document.addEventListener("shop:banner-updated", ({ detail }) => {
  changes.unshift(`${new Date().toLocaleTimeString()}: ${detail.tookMs} ms from click to banner`);
  changes.splice(MAX_CHANGES);
  refresh();
});
setInterval(refresh, EVERY_MS);
refresh();

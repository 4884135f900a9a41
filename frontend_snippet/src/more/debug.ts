/** `?gw_debug`: what each banner shows, above the page. */
export function showState(): void {
  const panel = document.createElement("pre");
  document.body.prepend(panel);
  setInterval(() => (panel.textContent = [...document.querySelectorAll<HTMLElement>("live-banner")].map(({ dataset }) => JSON.stringify(dataset)).join()), 500);
}

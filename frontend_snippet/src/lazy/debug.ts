/** `?gw_debug`: what each banner shows, above the page. */
export const showState = (): void => {
  const panel = document.createElement("pre");
  document.body.prepend(panel);
  const describe = (): string => JSON.stringify([...document.querySelectorAll<HTMLElement>("live-banner")].map(({ dataset }) => dataset));
  setInterval(() => (panel.textContent = describe()), 500);
};

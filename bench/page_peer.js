// What GrowthBook's documentation of its script tag requires of the page: apply the flag now, and whenever flags change.

function applyFeatureFlags(growthbook) {
  const banner = growthbook.getFeatureValue("homepage-hero", null);
  if (banner === null) return; // the flags have not arrived yet
  const place = document.querySelector("live-banner");
  place.querySelector(".lb-headline").textContent = banner.headline;
  place.querySelector(".lb-body").textContent = banner.body;
  Object.assign(place.querySelector(".lb-link"), { href: banner.linkUrl, textContent: banner.ctaLabel });
  Object.assign(place.querySelector(".lb-image"), banner.image);
}

window.growthbook_queue = window.growthbook_queue || [];
window.growthbook_queue.push((growthbook) => {
  applyFeatureFlags(growthbook);
  growthbook.setRenderer(() => applyFeatureFlags(growthbook));
});

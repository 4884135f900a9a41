"use client";
import { useEffect, useRef, useState } from "react";

/**
 * A banner whose HTML the server rendered. It is opaque to React: the snippet may swap it before, while and after React hydrates,
 * and no render of React touches it again. `onChange` gets `live-banner:change`; after `preventDefault()` the swap is up to you.
 */
export function LiveBanner({ html, onChange }) {
  const place = useRef(null);
  // The first HTML stays: that of a later render may be older than what the snippet shows.
  const [opaque] = useState({ __html: html });
  useEffect(() => {
    if (!onChange) return;
    const element = place.current;
    element.addEventListener("live-banner:change", onChange);
    return () => element.removeEventListener("live-banner:change", onChange);
  }, [onChange]);
  return <div ref={place} dangerouslySetInnerHTML={opaque} suppressHydrationWarning />;
}

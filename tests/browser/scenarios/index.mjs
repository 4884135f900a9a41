export * from "./adversity.mjs";
export * from "./content.mjs";
export * from "./essentials.mjs";
export * from "./events.mjs";
export * from "./releases.mjs";

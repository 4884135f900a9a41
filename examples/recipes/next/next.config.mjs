/** @type {import("next").NextConfig} */
export default {
  // This recipe uses files of the recipes next to it.
  turbopack: { root: `${import.meta.dirname}/..` },
};

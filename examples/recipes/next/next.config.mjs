/** @type {import("next").NextConfig} */
export default {
  // This recipe uses files of its neighbours.
  turbopack: { root: `${import.meta.dirname}/..` },
};

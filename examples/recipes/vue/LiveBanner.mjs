import { h } from "vue";

/**
 * A banner whose HTML the server rendered. To Vue it is opaque: the snippet may swap it before and after Vue hydrates, and no
 * render of Vue touches it again. That takes a render function: `v-html` in a template sets the HTML anew when it hydrates.
 */
export default {
  props: { html: { type: String, required: true } },
  // The first HTML stays: what a later render brings may be older than what the snippet shows.
  setup: ({ html }) => () => h("div", { innerHTML: html }),
};

import { h } from "vue";

/**
 * A banner whose HTML the server rendered. It is opaque to Vue: the snippet may swap it before and after Vue hydrates, and no
 * render of Vue touches it again. That needs a render function: `v-html` in a template sets the HTML again when it hydrates.
 */
export default {
  props: { html: { type: String, required: true } },
  // The first HTML stays: that of a later render may be older than what the snippet shows.
  setup: ({ html }) => () => h("div", { innerHTML: html }),
};

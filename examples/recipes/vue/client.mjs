import { createSSRApp } from "vue";

import App from "./App.vue";

createSSRApp(App, JSON.parse(document.getElementById("properties").textContent)).mount("#root");

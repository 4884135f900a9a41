import { StrictMode } from "react";
import { hydrateRoot } from "react-dom/client";

import { App } from "./App.jsx";

const properties = JSON.parse(document.getElementById("properties").textContent);
hydrateRoot(
  document.getElementById("root"),
  <StrictMode>
    <App {...properties} />
  </StrictMode>,
);

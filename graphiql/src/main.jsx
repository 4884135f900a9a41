/** The page: GraphiQL on the endpoint that served it. */
import { setNonce } from "get-nonce";
import { GraphiQL } from "graphiql";
import { createRoot } from "react-dom/client";

import "graphiql/style.css";
import "./page.css";

import { makeFetcher, PLACEHOLDER } from "./fetcher.js";
import welcome from "./welcome.graphql";

// Menus and dialogs write a <style> of their own; the page's Content-Security-Policy knows them by this.
setNonce(document.querySelector("meta[property=csp-nonce]").nonce);

const headers = JSON.stringify({ authorization: `Bearer pk_${PLACEHOLDER}` }, null, 2);

createRoot(document.getElementById("graphiql")).render(
  <GraphiQL
    fetcher={makeFetcher(location.pathname)}
    defaultQuery={welcome}
    defaultHeaders={headers}
    defaultEditorToolsVisibility="headers"
    inputValueDeprecation
    schemaDescription
  />,
);

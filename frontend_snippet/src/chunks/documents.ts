/** The text of the persisted document, for a gateway that does not know its hash. */
import text from "../snippet.graphql";

export default text.trim();

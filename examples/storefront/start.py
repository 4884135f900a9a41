"""The only inline script of the shop's pages: it waits for the first paint, then loads the page's script.

The HTML already has the right banner, so no script is needed for the first paint. A script that is loaded with the page, even
`async` and with a low priority, competes for the connections and the processor until then.
"""

from __future__ import annotations

import base64
import hashlib
from typing import Final

from personalization_gateway import Html

SCRIPT_PATH: Final = "/static/shop.js"
_SOURCE: Final = f'new PerformanceObserver(()=>import("{SCRIPT_PATH}")).observe({{type:"paint",buffered:true}})'
START: Final = Html(f"<script>{_SOURCE}</script>")
"""A page in a background tab is painted, and its script is loaded, when the visitor looks at it."""
POLICY_SOURCE: Final = f"'sha256-{base64.b64encode(hashlib.sha256(_SOURCE.encode()).digest()).decode()}'"
"""What `script-src` must contain for the script to run."""

"""The only inline script of the shop's pages: it waits for the first paint, then loads the page's script.

The HTML has the right banner already, so nothing that a script does is needed for the first paint. A script that is loaded with the
page, even `async` with a low priority, takes its share of the connections and the processor until then.
"""

from __future__ import annotations

import base64
import hashlib
from typing import Final

from gateway.client import Html

SCRIPT_PATH: Final = "/static/shop.js"
_TEXT: Final = f'new PerformanceObserver(()=>import("{SCRIPT_PATH}")).observe({{type:"paint",buffered:true}})'
START: Final = Html(f"<script>{_TEXT}</script>")
"""A page that is loaded in a tab behind is painted, and its script loaded, when somebody looks at it."""
POLICY_SOURCE: Final = f"'sha256-{base64.b64encode(hashlib.sha256(_TEXT.encode()).digest()).decode()}'"
"""What `script-src` must name for it to run."""

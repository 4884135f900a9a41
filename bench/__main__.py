"""`python -m bench NAME`: run one of the measurements."""

from __future__ import annotations

import sys
from typing import Final

from bench import decide, freshness, limits, page, sizes

_USAGE: Final = """\
usage: scripts/bench NAME [OPTIONS]

  decide       the time of a decision among 10, 100 and 1,000 campaigns (scripts/bench decide --help)
  freshness    event sent to frame received, compared with Kafka alone and micro-batches (scripts/bench freshness --help)
  limits       the time to refuse a hostile document (scripts/bench limits --help)
  page         what a live banner costs a page, in a real Chromium (scripts/bench page --help)
  sizes        the size of the snippet compared with what others load into a page (scripts/bench sizes --help)
"""


def main() -> int:
    """Run a measurement by name; returns its exit code."""
    names = {"decide": decide.main, "freshness": freshness.main, "limits": limits.main, "page": page.main, "sizes": sizes.main}
    name = sys.argv[1] if len(sys.argv) > 1 else ""
    if name not in names:
        print(_USAGE, end="", file=sys.stdout if name in {"-h", "--help"} else sys.stderr)
        return 0 if name in {"-h", "--help"} else 2
    return names[name](sys.argv[2:])


if __name__ == "__main__":
    sys.exit(main())

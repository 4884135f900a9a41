"""`python -m processors` is the command `processors`."""

from processors.cli import main

raise SystemExit(main())

"""What `scripts/demo` shows a person, and what warms a stack up before that. A client of a running stack: it starts and stops nothing."""

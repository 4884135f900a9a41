"""The commands of `gateway` that talk to a running system: each a module of its own, imported when it is called."""

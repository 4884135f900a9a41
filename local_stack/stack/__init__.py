"""One running stack: its start and stop, who watches it, what ends it when its supervisor is killed, and what `stack.json` says."""

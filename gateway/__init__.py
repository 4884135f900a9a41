"""The gateway: the process between web pages and the event log, its commands, and the client for shops. At its root stand the wiring
(`app`), the entry points (`cli`, `server`) and what all rooms share (`settings`, `clock`, `errors`).

May import gateway. Never the processors, the local stack or the examples.
"""

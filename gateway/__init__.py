"""The gateway: the process between web pages and the event log, and its commands. At its root stand the wiring (`app`), the entry points
(`cli`, `server`) and what all rooms share (`settings`, `clock`, `errors`).

May import gateway. Never the processors, the client for shops, the local stack or the examples.
"""

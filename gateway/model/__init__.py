"""The rules of the system as pure functions over values, a room per noun; at its root what they all use.

May import model. Never I/O, a clock, asyncio or chance.
"""

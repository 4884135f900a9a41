"""Reports: values of the model as the text that a terminal shows, for the commands of gateway and processors.

May import model. Never I/O, never a computation: that is the model's.
"""

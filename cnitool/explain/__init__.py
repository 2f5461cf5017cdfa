"""`cnitool explain`: what an ADD would do on this host, as a plan, without doing any of it.

`plugins` is the table of the suite's own plugins, which tell it; `chain` goes through a network as
ADD would, each plugin with what the one before would answer; `command` shows it.
"""

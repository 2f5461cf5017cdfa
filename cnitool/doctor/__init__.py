"""`cnitool doctor`: what is wrong with this host, and what mends it.

A check is a function that yields findings; `checkup` holds the list of them.
"""

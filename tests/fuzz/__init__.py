"""Hostile input: see docs/reliability.md, section 9.

`campaign` runs one target's inputs, `hostile` makes them, `sandbox` sees what they touch, `world`
is the host on which plugins meet them, `verdict` judges the answers.
"""

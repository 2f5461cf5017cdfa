"""The race of plugins whose links this kernel does not know, in one that does: User-Mode-Linux.

It is a kernel as an ordinary program, with one CPU, in which a system call takes many times as
long. All suites run in it, so their ratios are as good as elsewhere, and nothing else is.
"""

"""`make bench`: the built executables against the reference suite, in the same run.

Every call is a process of its own, started as a runtime starts it, in throwaway network namespaces
that stand for the host. The two suites take turns (A B A B), so that whatever else the machine
does hits both; medians are compared.
"""

"""`make bench`: the built executables, cold and warm, against the reference suite, in the same run.

Every call is a process of its own, started as a runtime starts it, in throwaway network namespaces
that stand for the host. The suites take turns (A B C C B A), so that whatever else the machine does
hits all of them; medians are compared. Warm is the launcher with a `cnid` that serves it, whose CPU
time counts too; cold is the launcher with the daemon disabled.
"""

"""`cnid`, the resident half of the plugins: it answers a call in the time the kernel takes.

The launcher (launcher.c), which is what stands in /opt/cni/bin, hands a call over: environment,
stdin, stdout, stderr, working directory. A worker that has everything imported serves it through
the same door as the cold executable. docs/cnid-protocol.md is what they say to each other.
"""

"""What is there: attachments as the cache, the IPAM files and the kernel each tell of them.

`world.read` gathers all of it once, in some tens of milliseconds for 1,000 attachments, and
`inside` looks into one container's namespace. Nothing is changed, and no plugin is run.
"""

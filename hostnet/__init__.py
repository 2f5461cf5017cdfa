"""The kernel's door: links, addresses, routes, namespaces, locks. Knows nothing of CNI.

Every function here takes what it acts on as an argument (a `Netlink` socket is born in its
namespace and stays there) and raises an `OSError` whose text is a full sentence.
This package is on the start-up path of every plugin: see the import budget test before
adding an import.
"""

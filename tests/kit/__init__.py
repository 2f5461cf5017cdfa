"""What the tests share: traffic, faults, other hosts, servers. See conftest.py for fixtures.

The throwaway namespaces, the leak check and the runtime are those that pycni ships for the tests of
others (`cni_testing`); `namespace`, `host`, `leaks`, `calls` and `versions` are their names here.
"""

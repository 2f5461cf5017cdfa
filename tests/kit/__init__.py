"""What the tests share: throwaway namespaces, a leak check, traffic. See conftest.py for fixtures.

Independent of the code under test on purpose: namespaces are entered through the C library, and
what is there is asked of `ip` and `nft`.
"""

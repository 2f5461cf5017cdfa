"""Tests of what this machine's kernel may lack, run in a kernel that has it."""

from __future__ import annotations

import os

# Inside the second kernel they are the only ones; outside, test_boot.py runs them there.
collect_ignore = [] if os.environ.get("PYCNI_SECOND_KERNEL") else ["inside"]

#!/bin/sh
# Process 1 of the second kernel: runs the tests it is told to, and halts.
set -u
. "$(dirname "$0")/stage.sh"
PYCNI_SECOND_KERNEL=1 \
    .venv/bin/python -m pytest -q --color=no -p no:cacheprovider \
    ${PYCNI_WHOLE:-} ${PYCNI_TABLES:-} ${PYCNI_TESTS:-tests/second_kernel/inside} 2>&1
echo "the tests ended with status $?"
exec halt -f -p

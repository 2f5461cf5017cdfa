#!/bin/sh
# Process 1 of User-Mode-Linux: runs the part of the benchmark that it is told to, and halts.
set -u
. "$(dirname "$0")/../../tests/second_kernel/stage.sh"
show() { # show DIRECTORY NAME: one of the host's, which may be below what the stage has covered
    mkdir -p "/run/bench/$2"
    mount -t hostfs none "/run/bench/$2" -o "$1"
}
show "$PYCNI_OURS" ours
show "$PYCNI_REFERENCE" reference
show "$PYCNI_RESULTS" results
.venv/bin/python -m bench.second_kernel.inside /run/bench "$PYCNI_PLUGINS" "$PYCNI_ROUNDS" 2>&1
exec halt -f -p

"""`cnitool schema`: a schema on stdout, or all of them as files."""

from __future__ import annotations

import os
import sys

from cni.errors import INVALID_ENVIRONMENT, SYSTEM, CniError
from cnitool import schemas


def run(name: str, directory: str, *, everything: bool) -> int:
    """Print the schema of a plugin or of `conflist`, or write all of them into a directory.

    Raises CniError for a name that there is no schema of, and for a directory that cannot be
    written in.
    """
    known = schemas.names()
    if everything:
        if not directory:
            raise CniError(INVALID_ENVIRONMENT, "--all needs --output DIR, a directory")
        for each in known:
            _write(directory, each)
        sys.stdout.write(f"{directory}: {len(known)} schemas\n")
        return 0
    if directory:
        raise CniError(INVALID_ENVIRONMENT, "--output is for --all; one schema goes to stdout")
    if name not in known:
        raise CniError(
            INVALID_ENVIRONMENT,
            f'there is no schema of "{name}", expected one of: {", ".join(known)}',
        )
    sys.stdout.write(schemas.text(name))
    return 0


def _write(directory: str, name: str) -> None:
    path = os.path.join(directory, name + schemas.SUFFIX)
    try:
        os.makedirs(directory, exist_ok=True)
        with open(path, "w", encoding="utf-8") as file:
            file.write(schemas.text(name))
    except OSError as error:
        raise CniError(SYSTEM, f"{path} cannot be written: {error.strerror}") from error

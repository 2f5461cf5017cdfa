"""What the tests of docs/reliability.md share."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from tests.kit import tables


@pytest.fixture(scope="session")
def whole(request: pytest.FixtureRequest) -> bool:
    """Every point of a matrix is asked for, and not the sample that `make test` runs."""
    return bool(request.config.getoption("--whole"))


@pytest.fixture
def publish(request: pytest.FixtureRequest, whole: bool) -> tables.Publish:
    """publish(name, headings, rows): print a table; with --tables, put it into the document.

    A sample's numbers are not for the document.
    """

    def publish(name: str, headings: Sequence[str], rows: Sequence[tables.Row]) -> None:
        text = tables.markdown(headings, rows)
        print(f"\n{name}\n{text}")  # noqa: T201 for the reader of a run with -s
        if whole and request.config.getoption("--tables"):
            tables.put(tables.DOCUMENT, name, text)

    return publish

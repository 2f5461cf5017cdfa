"""What the fuzz targets share: how many inputs, the world, and the rows of the document's table."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.fuzz.campaign import SEED, Campaign
from tests.fuzz.world import World, inhabited
from tests.kit import tables
from tests.kit.host import Host
from tests.reliability.conftest import whole  # noqa: F401 (a fixture)

HEADINGS = ("target", "inputs", "what became of them", "slowest, ms of processor time")

Start = Callable[[str, int, int], Campaign]
_ROWS: list[tables.Row] = []


@pytest.fixture
def campaign(
    request: pytest.FixtureRequest,
    whole: bool,  # noqa: F811
) -> Iterator[Start]:
    """campaign(target, sample, all): that many inputs in `make test`, and in `make fuzz`."""
    begun: list[Campaign] = []

    def start(target: str, sample: int, everything: int) -> Campaign:
        made = Campaign(target, everything if whole else sample)
        begun.append(made)
        return made

    print(f"FUZZ_SEED={SEED}")  # noqa: T201
    yield start
    # With its reports they get to the process that writes the table, where several run tests.
    request.node.user_properties += [("fuzz", one.row()) for one in begun]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """By night no target has less than an hour."""
    for one in items:
        if "tests/fuzz/" in str(one.path) and one.config.getoption("--whole"):
            one.add_marker(pytest.mark.timeout(3600))


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Keep a target's rows for the table."""
    if report.when == "teardown":
        _ROWS.extend(row for name, row in report.user_properties if name == "fuzz")  # type: ignore[misc]


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Print the table; put it into the document where it is asked for and nothing has failed."""
    if not _ROWS or not session.config.getoption("--whole"):
        return
    rows = sorted(_ROWS, key=lambda row: str(row[0]))
    total = sum(int(str(row[1]).replace(",", "")) for row in rows)
    rows.append(("all", f"{total:,}", f"seed {SEED}", ""))
    text = tables.markdown(HEADINGS, rows)
    print(f"\nhostile input\n{text}")  # noqa: T201
    if session.config.getoption("--tables") and not exitstatus:
        tables.put(tables.DOCUMENT, "hostile-input", text)


@pytest.fixture
def world(host: Host, tmp_path: Path) -> Iterator[World]:
    """The host on which plugins meet hostile input."""
    with inhabited(host, tmp_path) as made:
        yield made

"""A strict reader of Prometheus's text format, version 0.0.4, for what a counter, gauge or
histogram may look like there (https://prometheus.io/docs/instrumenting/exposition_formats/).
"""

from __future__ import annotations

import re
from typing import NamedTuple

_NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
_LABEL = r'[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\["\\n])*"'
_NUMBER = r"[+-]?(?:\d+(?:\.\d+)?(?:e[+-]?\d+)?|Inf)|NaN"
_SAMPLE = re.compile(rf"({_NAME})(?:\{{({_LABEL}(?:,{_LABEL})*)\}})? ({_NUMBER})")
_HELP = re.compile(rf"# HELP ({_NAME}) (.+)")
_TYPE = re.compile(rf"# TYPE ({_NAME}) (counter|gauge|histogram)")

Labels = tuple[tuple[str, str], ...]


class Family(NamedTuple):
    """A metric: its type, and its samples by name and labels."""

    kind: str
    samples: dict[tuple[str, Labels], float]


def read(text: str) -> dict[str, Family]:
    """The metrics by name. AssertionError for anything that is not as the format has it."""
    assert text.endswith("\n")
    found: dict[str, Family] = {}
    described = ""
    for line in text.splitlines():
        if match := _HELP.fullmatch(line):
            described = match[1]
            assert described not in found, f"{described} is in two places"
        elif match := _TYPE.fullmatch(line):
            assert match[1] == described, f"the type of {match[1]} does not follow its help"
            found[described] = Family(match[2], {})
        else:
            match = _SAMPLE.fullmatch(line)
            assert match, line
            labels = tuple(
                (name, value)
                for name, value in re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', match[2] or "")
            )
            assert len({name for name, _ in labels}) == len(labels), line
            family = found[described]
            key = match[1], labels
            assert key not in family.samples, f"twice: {line}"
            assert _may_be_called(match[1], described, family.kind), line
            family.samples[key] = float(match[3])
    for name, family in found.items():
        if family.kind == "histogram":
            _check_histogram(name, family)
        if family.kind == "counter":
            assert name.endswith("_total")
            assert all(value >= 0 for value in family.samples.values())
    return found


def _may_be_called(sample: str, metric: str, kind: str) -> bool:
    suffixes = ("_bucket", "_sum", "_count") if kind == "histogram" else ("",)
    return sample in [metric + suffix for suffix in suffixes]


def _check_histogram(name: str, family: Family) -> None:
    """Buckets grow to the count, in order, the last one being +Inf."""
    series: dict[Labels, list[tuple[float, float]]] = {}
    for (sample, labels), value in family.samples.items():
        if sample == f"{name}_bucket":
            rest = tuple(one for one in labels if one[0] != "le")
            series.setdefault(rest, []).append((float(dict(labels)["le"]), value))
    assert {labels for sample, labels in family.samples if sample == f"{name}_count"} == set(series)
    for labels, buckets in series.items():
        assert buckets == sorted(buckets), "in order, and counted up"
        bounds = [bound for bound, _ in buckets]
        assert len(set(bounds)) == len(bounds)
        assert buckets[-1] == (float("inf"), family.samples[f"{name}_count", labels])
        assert family.samples[f"{name}_sum", labels] >= 0

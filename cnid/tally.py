"""What the daemon has served: counts, latencies, errors; for `cnid status` and Prometheus."""

from __future__ import annotations

from collections import deque

from cni.call import COMMANDS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NotRequired, TypedDict

    from cni.jsonvalue import JsonValue

    class Row(TypedDict):
        """The calls of a plugin and verb; latencies in milliseconds."""

        plugin: str
        verb: str
        calls: int
        errors: int
        p50: float
        p99: float

    class WorkerState(TypedDict):
        """A worker as the daemon sees it."""

        pid: int
        busy: bool
        calls: int

    class OverlayState(TypedDict):
        """The process that keeps overlays. pid: 0 while there is none. starts: how often it was
        started. uptime: seconds. memory: KiB."""

        wanted: bool
        pid: int
        starts: int
        uptime: float
        memory: int

    class HealState(TypedDict):
        """The process that heals. pid: 0 while there is none. starts: how often it was started.
        memory: KiB. looks: how many it has taken; seconds: the last one. running: attachments that
        it found running then, problems: what it could not heal. healed: attachments, all told."""

        wanted: bool
        pid: int
        starts: int
        memory: int
        looks: int
        seconds: float
        running: int
        healed: int
        problems: int

    class Status(TypedDict):
        """What `cnid status` shows. uptime: seconds. overlay, heal: not of an older daemon."""

        build: str
        pid: int
        uptime: float
        waiting: int
        refused: int
        lost: int
        workers: list[WorkerState]
        calls: list[Row]
        overlay: NotRequired[OverlayState]
        heal: NotRequired[HealState]


# Seconds, upper bounds of the histogram's buckets.
BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
_RECENT = 1000


class Series:
    """The calls of one plugin and verb."""

    def __init__(self) -> None:
        self.calls = 0
        self.errors = 0
        self.total = 0.0
        self.buckets = [0] * len(BUCKETS)
        self._recent: deque[float] = deque(maxlen=_RECENT)

    def add(self, seconds: float, failed: bool) -> None:
        """Count a call."""
        self.calls += 1
        self.errors += failed
        self.total += seconds
        self._recent.append(seconds)
        for index, bound in enumerate(BUCKETS):
            if seconds <= bound:
                self.buckets[index] += 1

    def quantile(self, share: float) -> float:
        """Seconds that this share of the latest 1,000 calls took at most; 0 without calls."""
        ordered = sorted(self._recent)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


class Tally:
    """All of it. refused: requests turned away. lost: calls whose worker died."""

    def __init__(self) -> None:
        self.series: dict[tuple[str, str], Series] = {}
        self.refused = 0
        self.lost = 0

    def count(self, report: dict[str, JsonValue]) -> None:
        """Count a call from a worker's report of it."""
        verb = str(report["verb"])
        key = str(report["plugin"]), verb if verb in COMMANDS else "other"
        seconds, waited = report["seconds"], report["waited"]
        if isinstance(seconds, (int, float)) and isinstance(waited, (int, float)):
            one = self.series.setdefault(key, Series())
            one.add(seconds + waited, bool(report["status"]))

    def rows(self) -> list[Row]:
        """A row for each plugin and verb."""
        return [
            {
                "plugin": plugin,
                "verb": verb,
                "calls": one.calls,
                "errors": one.errors,
                "p50": round(one.quantile(0.5) * 1000, 2),
                "p99": round(one.quantile(0.99) * 1000, 2),
            }
            for (plugin, verb), one in sorted(self.series.items())
        ]

    def as_prometheus(self, workers: int, busy: int, waiting: int, heal: HealState) -> str:
        """The text exposition format, version 0.0.4."""
        lines = [
            "# HELP cnid_workers Workers of the daemon.",
            "# TYPE cnid_workers gauge",
            f"cnid_workers {workers}",
            "# HELP cnid_workers_busy Workers that serve a call now.",
            "# TYPE cnid_workers_busy gauge",
            f"cnid_workers_busy {busy}",
            "# HELP cnid_waiting Requests that wait for a worker now.",
            "# TYPE cnid_waiting gauge",
            f"cnid_waiting {waiting}",
            "# HELP cnid_refused_total Requests that were turned away and ran cold.",
            "# TYPE cnid_refused_total counter",
            f"cnid_refused_total {self.refused}",
            "# HELP cnid_lost_total Calls whose worker died.",
            "# TYPE cnid_lost_total counter",
            f"cnid_lost_total {self.lost}",
            "# HELP cnid_heal_looks_total Looks at what running containers have lost.",
            "# TYPE cnid_heal_looks_total counter",
            f"cnid_heal_looks_total {heal['looks']}",
            "# HELP cnid_healed_total Attachments to which something lost was given back.",
            "# TYPE cnid_healed_total counter",
            f"cnid_healed_total {heal['healed']}",
            "# HELP cnid_heal_problems What the last look could not heal.",
            "# TYPE cnid_heal_problems gauge",
            f"cnid_heal_problems {heal['problems']}",
            "# HELP cnid_errors_total Calls that answered with an error.",
            "# TYPE cnid_errors_total counter",
        ]
        rows = sorted(self.series.items())
        lines += (f"cnid_errors_total{_labels(key)} {one.errors}" for key, one in rows)
        lines += [
            "# HELP cnid_call_seconds Time a call took, from the launcher's request to the answer.",
            "# TYPE cnid_call_seconds histogram",
        ]
        for key, one in rows:
            for bound, count in zip(BUCKETS, one.buckets, strict=True):
                lines.append(f"cnid_call_seconds_bucket{_labels(key, le=bound)} {count}")
            lines.append(f"cnid_call_seconds_bucket{_labels(key, le='+Inf')} {one.calls}")
            lines.append(f"cnid_call_seconds_sum{_labels(key)} {one.total:.6f}")
            lines.append(f"cnid_call_seconds_count{_labels(key)} {one.calls}")
        return "\n".join(lines) + "\n"


def _labels(key: tuple[str, str], **more: object) -> str:
    pairs = {"plugin": key[0], "verb": key[1], **more}
    return "{" + ",".join(f'{name}="{_escaped(str(value))}"' for name, value in pairs.items()) + "}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")

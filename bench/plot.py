"""`make plot`: what a call costs by the number of containers there are, as a PNG for docs.

Reads what `make bench` wrote. matplotlib is in an environment of its own, and nothing else of the
project is: this module imports nothing of it.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import matplotlib as mpl
from matplotlib import pyplot as plt

mpl.use("Agg")

_ROOT = Path(__file__).resolve().parent.parent
_STYLES = {
    "reference": {"color": "#888888", "marker": "s", "label": "reference (Go, iptables)"},
    "cold": {"color": "#1f6fb4", "marker": "o", "label": "pycni, cold"},
    "warm": {"color": "#d1492e", "marker": "D", "label": "pycni, warm (cnid)"},
}
_LONGEST = 200_000
"""Bytes that a picture in the repository may have."""


def main() -> None:
    """Draw it."""
    parser = argparse.ArgumentParser(prog="make plot ARGS=", description=__doc__)
    parser.add_argument("--json", type=Path, metavar="FILE", help="default: the newest result")
    parser.add_argument("--png", type=Path, default=_ROOT / "docs" / "growth.png", metavar="FILE")
    wanted = parser.parse_args()
    source = wanted.json or max((_ROOT / "bench" / "results").glob("*.json"), default=None)
    if source is None:
        parser.error("there are no results: run `make bench` first")
    draw(json.loads(source.read_text()), wanted.png)
    print(f"{wanted.png}, from {source}")


def draw(document: dict[str, object], target: Path) -> None:
    """Two panels, ADD and DEL: milliseconds of the whole chain by containers already there."""
    lines = document["growth"]
    assert isinstance(lines, list)
    about = document["machine"]
    assert isinstance(about, dict)
    figure, panels = plt.subplots(1, 2, figsize=(9, 4), sharey=True, layout="constrained")
    for verb, panel in zip(("ADD", "DEL"), panels, strict=True):
        for suite, style in _STYLES.items():
            points = sorted(
                (line["size"], line["wall"])
                for line in lines
                if (line["suite"], line["verb"]) == (suite, verb)
            )
            panel.plot([size for size, _ in points], [wall for _, wall in points], **style)
            size, wall = points[-1]
            panel.annotate(
                f"{wall:,.0f} ms",
                (size, wall),
                xytext=(0, 7),
                textcoords="offset points",
                ha="right" if size else "left",
                color=style["color"],
                fontsize=9,
            )
        panel.set_yscale("log")
        panel.set_title(verb)
        panel.set_xlabel("containers already there")
        panel.yaxis.set_major_formatter("{x:,g}")
        panel.xaxis.set_major_formatter("{x:,.0f}")
        panel.grid(visible=True, which="major", alpha=0.3)
        panel.spines[["top", "right"]].set_visible(False)
    panels[0].set_ylabel("ms a chain, median (log scale)")
    panels[0].legend(frameon=False, fontsize=9)
    figure.suptitle(f"{lines[0]['case']}\n{about['date']}, {about['cpu']}", fontsize=10)
    figure.savefig(target, dpi=110, metadata={"Software": None})
    if target.stat().st_size > _LONGEST:
        raise SystemExit(f"{target} has {target.stat().st_size} bytes, expected {_LONGEST} at most")


if __name__ == "__main__":
    main()

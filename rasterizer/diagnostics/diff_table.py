"""What :mod:`.diff_speed` measured, for people: tables, and the ratios to nvdiffrast in short."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable

from .diff_speed import CHAIN, OURS, PRIMITIVES, STEPS, THEIRS, TOPOLOGY, Row

_Quantity = Callable[[Row], float | None]


def _memory(row: Row) -> float | None:
    return None if row.peak is None else (row.peak + (row.outside or 0)) / 1e6


_QUANTITIES: dict[str, _Quantity] = {
    "GPU ms": lambda row: row.busy,
    "wall ms": lambda row: row.milliseconds,
    "MB": _memory,
}


def summary(rows: Iterable[Row]) -> dict[str, dict[str, float]]:
    """By quantity: how many times as much nvdiffrast takes for the whole chain, least and geometric mean of the cases;
    empty where it was not measured."""
    pairs = [pair for pair in _pairs(rows, CHAIN) if THEIRS in pair]
    found = {}
    for name, quantity in _QUANTITIES.items():
        ratios = [ratio for pair in pairs if (ratio := _ratio(pair, quantity)) is not None]
        if ratios:
            found[name] = {"least": min(ratios), "mean": statistics.geometric_mean(ratios)}
    return found


def markdown(rows: list[Row]) -> str:
    """A table of whole calls (the chain forward and backward, a bake), and one of the steps in GPU time, or wall time
    where there is no GPU. Ours, then nvdiffrast's, and in brackets how many times as much it takes."""
    quantities = {name: each for name, each in _QUANTITIES.items() if any(each(row) is not None for row in rows)}
    whole = [step for step in dict.fromkeys(row.step for row in rows) if step not in STEPS or step == CHAIN]
    beside = ["results differ by"] if any(row.library == THEIRS for row in rows) else []
    lines = _head("chain forward and backward; bake", [*quantities, *beside])
    for step in whole:
        for pair in _pairs(rows, step):
            cells = [_cell(pair, each) for each in quantities.values()]
            lines.append(_line(pair[OURS].case, [*cells, *(f"{pair[THEIRS].difference:.0e}" for _ in beside)]))
    if means := summary(rows):
        texts = (f"at least {each['least']:.2f}x, mean {each['mean']:.2f}x" for each in means.values())
        lines.append(_line("chains, least and geometric mean", [*texts, *("" for _ in beside)]))
    return "\n".join([*lines, *_steps(rows, next(iter(quantities.items())))]) if quantities else ""


def _steps(rows: list[Row], chosen: tuple[str, _Quantity]) -> list[str]:
    unit, quantity = chosen
    steps = [step for step in STEPS if step != CHAIN and any(row.step == step for row in rows)]
    if not steps:
        return []
    lines = ["", *_head(f"{unit}, forward; backward", [*PRIMITIVES, TOPOLOGY])]
    by_step = {step: {pair[OURS].case: pair for pair in _pairs(rows, step)} for step in steps}
    for case in dict.fromkeys(row.case for row in rows if row.step in steps):
        cells = {step: _cell(pairs[case], quantity) for step, pairs in by_step.items() if case in pairs}
        columns = [[cells.get(name, ""), cells.get(f"{name} backward", "")] for name in PRIMITIVES]
        lines.append(_line(case, [*("; ".join(filter(None, each)) for each in columns), cells.get(TOPOLOGY, "")]))
    return lines


def _pairs(rows: Iterable[Row], step: str) -> list[dict[str, Row]]:
    """The rows of a step by library, one dictionary for each case."""
    pairs: dict[str, dict[str, Row]] = {}
    for row in rows:
        if row.step == step:
            pairs.setdefault(row.case, {})[row.library] = row
    return list(pairs.values())


def _ratio(pair: dict[str, Row], quantity: _Quantity) -> float | None:
    ours, theirs = quantity(pair[OURS]), quantity(pair[THEIRS])
    return theirs / ours if ours and theirs is not None else None


def _cell(pair: dict[str, Row], quantity: _Quantity) -> str:
    values = [f"{value:.3g}" if value < 1000 else f"{value:.0f}" for row in pair.values() if (value := quantity(row))]
    ratio = _ratio(pair, quantity) if THEIRS in pair else None
    return " / ".join(values) + ("" if ratio is None else f" ({ratio:.2f}x)")


def _head(title: str, columns: Iterable[str]) -> list[str]:
    names = list(columns)
    return [_line(title, names), "|---|" + "---:|" * len(names)]


def _line(title: str, cells: Iterable[str]) -> str:
    return "| " + " | ".join([title, *cells]) + " |"

"""Outcome of a comparison."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Check:
    """Outcome of one comparison; ``detail`` says what differs, or how much was compared."""

    name: str
    passed: bool
    detail: str

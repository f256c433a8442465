"""What of a manifest is left to do, after what earlier runs have done."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from .jobs import Job
from .ledger import BLAMES, History
from .output import Output


@dataclass
class Plan:
    """Jobs by what becomes of them.

    Attributes:
        todo: to be done now.
        done: done already, with the same key.
        failed: failed before, with the same key, and not tried again unasked.
    """

    todo: list[Job] = field(default_factory=list)
    done: list[Job] = field(default_factory=list)
    failed: list[Job] = field(default_factory=list)


def make_plan(jobs: Sequence[Job], output: Output, history: History, retry: bool, force: bool) -> Plan:
    """Share out jobs.

    Args:
        jobs: of a manifest.
        output: tells what is done.
        history: tells what has failed.
        retry: whether to try again what has.
        force: whether to do everything anew.
    """
    plan = Plan()
    for job in jobs:
        there = None if force else output.done(job.id)
        if there is not None and there["key"] == job.key:
            plan.done.append(job)
        elif not (retry or force) and (job.key in history.failed or history.blames.get(job.key, 0) >= BLAMES):
            plan.failed.append(job)
        else:
            plan.todo.append(job)
    return plan

"""One run of a batch, from its manifest to its exit code."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from ..version import __version__
from .driver import Driver, Stop
from .engine import Engine
from .jobs import Manifest
from .ledger import History, Ledger
from .output import Output
from .plan import Plan, make_plan
from .progress import Progress
from .state import State

DONE, SOME_FAILED, WRONG_USE, INTERRUPTED = 0, 1, 2, 130

_SHOWN = 20  # faults of a manifest; all are in the ledger


@dataclass
class Settings:
    """What the command says of a run.

    Attributes:
        manifest, recipe: for the ledger; as of :func:`~rasterizer.batch.manifest.read_manifest`.
        output: the folder to write to.
        timeout: seconds that a job may take; None is any time.
        retry: whether to try again what has failed before.
        force: whether to do everything anew.
        progress: one of :data:`~rasterizer.batch.progress.KINDS`.
    """

    manifest: Path
    output: Path
    recipe: str
    timeout: float | None = None
    retry: bool = False
    force: bool = False
    progress: str = "line"


def run_batch(settings: Settings, manifest: Manifest, engine_for: Callable[[Output], Engine]) -> int:
    """Do what of a manifest is not done.

    Args:
        settings: of the run.
        manifest: what there is to do.
        engine_for: makes the engine, which is asked for only if something is to be done.

    Returns:
        0 if all of it is done, now or before; 1 if some has failed, now or before, or a line of the manifest cannot be
        used; 130 if somebody has stopped the run before its end.

    Raises:
        ValueError: no line of the manifest can be used.
        OSError: the output folder cannot be made.
        RuntimeError: no worker could be started.
    """
    _say_faults(settings.manifest, manifest)
    output = Output(settings.output)
    output.make()
    history = History.read(output.ledger)
    plan = make_plan(manifest.jobs, output, history, settings.retry, settings.force)
    with closing(Ledger(output.ledger)) as ledger:
        _note(ledger, settings, manifest, plan)
        blames = {} if settings.retry or settings.force else history.blames
        state, stop = State(plan.todo, blames), Stop()
        if plan.todo:
            progress = Progress(settings.progress)  # before the engine, which may keep standard output from others
            engine = engine_for(output)
            try:
                with stop.on_signals():
                    Driver(engine, state, ledger, progress, settings.timeout, stop).run()
            finally:
                engine.close()
                output.clear()
        ledger.write("end", done=state.done, failed=state.failed, left=state.left)
    _say_end(settings, plan, state, manifest)
    if state.left:
        return INTERRUPTED
    return SOME_FAILED if state.failed or plan.failed or manifest.faults else DONE


def _say_faults(path: Path, manifest: Manifest) -> None:
    texts = [f"{path}, line {fault.line}: {fault.text}" for fault in manifest.faults]
    if not manifest.jobs:
        first = f", of which the first is: {texts[0]}" if texts else ""
        raise ValueError(f"{path}: has no line that can be used and {len(texts)} that cannot{first}")
    for text in texts[:_SHOWN]:
        print(text, file=sys.stderr)
    if len(texts) > _SHOWN:
        print(f"{path}: {len(texts) - _SHOWN} more lines cannot be used; batch report names them", file=sys.stderr)


def _note(ledger: Ledger, settings: Settings, manifest: Manifest, plan: Plan) -> None:
    ledger.write(
        "run", manifest=str(settings.manifest), recipe=settings.recipe, force=settings.force, version=__version__
    )
    for fault in manifest.faults:
        ledger.write("refused", id=fault.id, line=fault.line, error=fault.text)
    again = {id(job) for job in plan.todo} if settings.retry or settings.force else set()
    for job in manifest.jobs:
        ledger.write("queued", id=job.id, key=job.key)
        if id(job) in again:
            ledger.write("retried", id=job.id, key=job.key)


def _say_end(settings: Settings, plan: Plan, state: State, manifest: Manifest) -> None:
    if settings.progress == "json":
        before = {"done_before": len(plan.done), "failed_before": len(plan.failed), "refused": len(manifest.faults)}
        now = {"done": state.done, "failed": state.failed, "left": state.left}
        print(json.dumps({"event": "end", **now, **before}), flush=True)
        return
    parts = [f"{state.done} done", f"{state.failed} failed"]
    if plan.done:
        parts.append(f"{len(plan.done)} were done before")
    if plan.failed:
        parts.append(f"{len(plan.failed)} had failed before (--retry failed tries them again)")
    if manifest.faults:
        parts.append(f"{len(manifest.faults)} lines of the manifest cannot be used")
    if state.left:
        parts.append(f"{state.left} left (the same command goes on with them)")
    print(f"{settings.output}: {', '.join(parts)}", file=sys.stderr)

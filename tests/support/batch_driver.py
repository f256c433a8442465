"""The command ``batch`` with the recipe for tests: ``batch_driver.py MANIFEST OUT WORKERS TIMEOUT ADDRESS``.

ADDRESS is that of a Ray cluster; without one, workers are processes of this machine. At its end, standard error says
how much memory this process has had at most, in bytes, and how many seconds of a processor.
"""

from __future__ import annotations

import re
import sys
import time
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[2])

from rasterizer.batch import reading
from rasterizer.batch.cluster import RayEngine
from rasterizer.batch.engine import Engine
from rasterizer.batch.local import LocalEngine
from rasterizer.batch.output import Output
from rasterizer.batch.run import Settings, run_batch

_HERE = Path(__file__).parent


def main(manifest: str, out: str, workers: str, timeout: str, address: str) -> int:
    """Run it; 0 workers are as many as usual."""
    reading._READER = _HERE / "batch.py"
    read, _ = reading.read_apart(Path(manifest), "trial", {}, device="cpu")

    def engine_for(to: Output) -> Engine:
        if address:
            return RayEngine(to, "cpu", int(workers) or None, address=address, program=_HERE / "ray_actor.py")
        engine = LocalEngine(to, ["cpu"], int(workers) or None, program=_HERE / "batch.py")
        engine._threads = 1  # of each worker, however many there are
        return engine

    return run_batch(
        Settings(Path(manifest), Path(out), "trial", timeout=float(timeout), progress="json"), read, engine_for
    )


def peak() -> int:
    """The most memory that this process has had, in bytes; 0 where the system does not say.

    What getrusage says begins with what the process had that has started this one.
    """
    status = Path("/proc/self/status")
    if not status.exists():
        return 0
    return int(re.search(r"^VmHWM:\s+(\d+) kB$", status.read_text(), re.MULTILINE)[1]) * 1024


if __name__ == "__main__":
    code = main(*sys.argv[1:])
    print(f"peak {peak()}\nprocessor {time.process_time()}", file=sys.stderr)
    sys.exit(code)

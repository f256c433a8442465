"""A process of its own for work that cannot be stopped: ``python child.py WORK.py INPUT.npz OUTPUT.npz PARENT``.

The work is a library's call that holds Python's interpreter lock from its first to its last moment: here it stops
nobody, and can be ended. This file and WORK are run by their paths and import nothing of the pack, whose module name
only ComfyUI knows. WORK has a function ``work``, which is called with the arrays of INPUT by their names and returns
those of OUTPUT. PARENT is the id of the process that waits for this one, which ends with it (:func:`end_with`).
"""

import ctypes
import os
import runpy
import signal
import sys
from contextlib import suppress

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Python's own handler would wait for the call to return
    # The neighbours of this file are no modules of anybody else. Not every Python puts them first.
    if os.path.realpath(sys.path[0]) == os.path.dirname(os.path.realpath(__file__)):
        del sys.path[0]

import numpy as np

_PR_SET_PDEATHSIG = 1


def end_with(parent: int) -> None:
    """Have the system end this process when ``parent`` ends, however that ends.

    A thread that watched it would never run while the work does. On Windows the parent sees to it (``job.py``).
    """
    if sys.platform != "win32":
        if not _killed_by_linux():
            _fork_watcher()
        if os.getppid() != parent:  # it was too late to ask
            os._exit(1)


def _killed_by_linux() -> bool:
    """Whether Linux kills this process when the thread ends that has started it, which waits for it."""
    if sys.platform.startswith("linux"):
        with suppress(OSError, AttributeError):  # a C library without it
            return ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) == 0
    return False


if sys.platform != "win32":

    def _fork_watcher() -> None:
        """Start a process that kills this one at the end of standard input, held open by the parent while it lives."""
        worker = os.getpid()
        try:
            if os.fork():
                return
        except OSError:  # too many processes: the work itself can still be done
            return
        try:
            while os.read(0, 1):
                pass
            if os.getppid() == worker:
                os.kill(worker, signal.SIGKILL)
        finally:
            os._exit(0)


if __name__ == "__main__":
    end_with(int(sys.argv[4]))
    work = runpy.run_path(sys.argv[1])["work"]
    with np.load(sys.argv[2]) as given:
        arrays = dict(given)
    np.savez(sys.argv[3], **work(**arrays))

"""Processes of Windows that end with this one, however it ends: they are put into a job that the system closes."""

from __future__ import annotations

import ctypes
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from ctypes import POINTER, byref, c_int, c_int64, c_size_t, c_uint32, c_uint64, c_void_p, c_wchar_p, sizeof

from ..log import log

_EXTENDED_LIMIT_INFORMATION = 9
_KILL_ON_JOB_CLOSE = 0x2000


class _BasicLimits(ctypes.Structure):
    _fields_ = [
        ("per_process_user_time", c_int64),
        ("per_job_user_time", c_int64),
        ("flags", c_uint32),
        ("minimum_working_set", c_size_t),
        ("maximum_working_set", c_size_t),
        ("active_processes", c_uint32),
        ("affinity", c_size_t),
        ("priority", c_uint32),
        ("scheduling", c_uint32),
    ]


class _ExtendedLimits(ctypes.Structure):
    _fields_ = [
        ("basic", _BasicLimits),
        ("io_counters", c_uint64 * 6),
        ("process_memory", c_size_t),
        ("job_memory", c_size_t),
        ("peak_process_memory", c_size_t),
        ("peak_job_memory", c_size_t),
    ]


@contextmanager
def bound(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """End ``process``, and what it has started, at the end of this context or of this process; only on Windows.

    Elsewhere, and where Windows refuses, nothing happens: the work can be done all the same.
    """
    if sys.platform == "win32":
        kernel = ctypes.WinDLL("kernel32", use_last_error=True)
        job = _make(kernel, process)
        try:
            yield
        finally:
            if job:
                kernel.CloseHandle(job)
    else:
        yield


def _make(kernel: ctypes.CDLL, process: subprocess.Popen[bytes]) -> int | None:
    """The handle of a job with ``process`` in it; nobody inherits it, so that it closes with this process."""
    kernel.CreateJobObjectW.argtypes, kernel.CreateJobObjectW.restype = (c_void_p, c_wchar_p), c_void_p
    kernel.SetInformationJobObject.argtypes = (c_void_p, c_int, POINTER(_ExtendedLimits), c_uint32)
    kernel.AssignProcessToJobObject.argtypes = (c_void_p, c_void_p)
    kernel.CloseHandle.argtypes = (c_void_p,)
    limits = _ExtendedLimits()
    limits.basic.flags = _KILL_ON_JOB_CLOSE
    job = kernel.CreateJobObjectW(None, None)
    if (
        job
        and kernel.SetInformationJobObject(job, _EXTENDED_LIMIT_INFORMATION, byref(limits), sizeof(limits))
        and kernel.AssignProcessToJobObject(job, int(process._handle))  # type: ignore[attr-defined] # of Windows only
    ):
        return job
    if sys.platform == "win32":
        log.debug("No job for a process: error %d of Windows", ctypes.get_last_error())
    if job:
        kernel.CloseHandle(job)
    return None

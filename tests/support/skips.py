"""Why tests are skipped, in few words: a fresh machine may lack what these need, and nothing else."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

NEEDS = {
    "a GPU": r"no CUDA or ROCm device|no Apple GPU|no Intel GPU|no NVRTC|no hipRTC|no run-time compiler",
    "Vulkan": r"no Vulkan|no glslangValidator",
    "a C++ compiler": r"no g\+\+",
    "a native module": r"native module",
    "Node.js": r"Node\.js",
    "a browser": r"Playwright|Chromium|frontend",
    "a program to compare with": r"adobe-lagrange",
    "a ComfyUI server": r"no ComfyUI found|ComfyUI in .* does not start|this ComfyUI (lacks|has)|need model files",
}
"""What a test may need that no package brings, and how the reasons of its skips read."""

OTHER = "something else"


def need_of(reason: str) -> str:
    """A key of :data:`NEEDS`, or :data:`OTHER`."""
    return next((need for need, pattern in NEEDS.items() if re.search(pattern, reason)), OTHER)


def account(reasons: Iterable[str]) -> tuple[str, list[str]]:
    """One line that counts skips by what they need, and the reasons that are none of these."""
    reasons = list(reasons)
    counts = Counter(map(need_of, reasons))
    others = sorted({reason for reason in reasons if need_of(reason) == OTHER})
    return "skipped for want of " + ", ".join(f"{need}: {counts[need]}" for need in (*NEEDS, OTHER)), others

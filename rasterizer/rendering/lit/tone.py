"""From light to what a screen can show."""

from __future__ import annotations

from torch import Tensor

TONE_MAPPINGS = ("neutral", "aces", "none")

_BRIGHTEST = 1e6  # white by all of them; squares of more do not fit into float32


def tone_map(light: Tensor, how: str) -> Tensor:
    """Linear light to linear display values, 0..1 for ``neutral`` and ``aces``.

    * ``neutral``: Khronos PBR Neutral (specification of 2024, github.com/KhronosGroup/ToneMapping): colours up to 0.8
      stay as the material has them, brighter ones are compressed, and only those lose saturation.
    * ``aces``: the look of film: more contrast, bright colours turn white. Narkowicz' fit of the ACES reference
      transforms, "ACES Filmic Tone Mapping Curve", 2015, with his factor of 0.6 before it.
    * ``none``: as it is; a screen cuts off what is above 1.

    Args:
        light: ``[3, P]``, at least 0.
        how: one of :data:`TONE_MAPPINGS`.
    """
    light = light.clamp(max=_BRIGHTEST)
    if how == "neutral":
        return _neutral(light)
    if how == "aces":
        x = light * 0.6
        return ((x * (2.51 * x + 0.03)) / (x * (2.43 * x + 0.59) + 0.14)).clamp(0.0, 1.0)
    return light


def _neutral(light: Tensor) -> Tensor:
    start, desaturation = 0.8 - 0.04, 0.15
    least = light.amin(0)
    light = light - (least - 6.25 * least * least).where(least < 0.08, least.new_tensor(0.04))
    peak = light.amax(0)
    room = 1.0 - start
    above = (peak - start).clamp(min=0.0)
    new = 1.0 - room * room / (above + room)
    share = 1.0 / (desaturation * (peak - new).clamp(min=0.0) + 1.0)
    compressed = light * (new / peak.clamp(min=1e-6)) * share + new * (1.0 - share)
    return compressed.where(peak >= start, light).clamp(0.0, 1.0)

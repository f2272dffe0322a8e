"""How numbers are written for people: short, with their unit, the same everywhere."""

from __future__ import annotations

import math


def short(value: float | None) -> str:
    """A value in at most seven characters: 0.94, 31.2k, 1.2e-4, nan; "-" when there is none."""
    if value is None:
        return "-"
    if not math.isfinite(value):
        return str(value)
    size = abs(value)
    if size and size < 0.001:
        return exponent(value)
    if size >= 1e6:
        return f"{value / 1e6:.1f}M"
    if size >= 1e4:
        return f"{value / 1e3:.1f}k"
    if size >= 1e3:
        return f"{value:,.0f}"
    return f"{value:.1f}" if size >= 100 else f"{value:.2f}" if size >= 0.1 else f"{value:.3g}"


def exponent(value: float) -> str:
    """2e-4, 1.25e-4: without the zeros that nobody reads."""
    if value == 0:
        return "0"
    digits, _, power = f"{value:.2e}".partition("e")
    return f"{digits.rstrip('0').rstrip('.')}e{int(power)}"


def duration(seconds: float | None) -> str:
    """12 s, 8 min, 3.4 h, 2 days; "-" when it is not known."""
    if seconds is None or not math.isfinite(seconds):
        return "-"
    if seconds < 99.5:
        return f"{max(0.0, seconds):.0f} s"
    minutes = seconds / 60
    if minutes < 99.5:
        return f"{minutes:.0f} min"
    hours = minutes / 60
    return (
        f"{hours:.1f} h"
        if hours < 10
        else f"{hours:.0f} h"
        if hours < 48
        else f"{hours / 24:.0f} d"
    )


def size(count: float | None) -> str:
    """Bytes as 812 B, 9.6 MiB, 3.1 GiB; "-" when it is not known."""
    if count is None:
        return "-"
    if count < 1024:
        return f"{count:.0f} B"
    for unit in ("KiB", "MiB", "GiB", "TiB"):
        count /= 1024
        if count < 999.5 or unit == "TiB":
            break
    return f"{count:.1f} {unit}"

"""Chat templates in the styles that models of the field have, written anew for these tests.

Each keeps what makes its family hard: where tools stand, which roles it refuses, what it rewrites.
"""

from __future__ import annotations

from pathlib import Path

STYLES = {
    path.stem: path.read_text(encoding="utf-8")
    for path in sorted((Path(__file__).parent / "chat_templates").glob("*.jinja"))
}

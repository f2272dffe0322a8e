"""The JSON files of a model folder: config.json, tokenizer_config.json and their like."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from core.errors import AfinaError


def read_json(folder: Path, name: str) -> dict[str, Any]:
    """A JSON file of a model folder; empty where there is none."""
    path = folder / name
    if not path.is_file():
        return {}
    try:
        value = msgspec.json.decode(path.read_bytes())
    except (OSError, ValueError, msgspec.MsgspecError) as error:
        raise AfinaError(f'Can\'t read "{path}": {error}.') from error
    return value if isinstance(value, dict) else {}


def require_json(path: Path) -> dict:
    """A JSON object in a file of a model folder. Raises AfinaError when it is not one."""
    try:
        value = msgspec.json.decode(path.read_bytes())
    except (OSError, msgspec.DecodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise AfinaError(f'Can\'t read "{path}": {reason}.', "Copy or save it again.") from error
    if not isinstance(value, dict):
        raise AfinaError(f'"{path}" holds no JSON object.', "Copy or save it again.")
    return value

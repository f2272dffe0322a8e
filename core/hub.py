"""Models by name: a folder, or a hub id in the local cache, or a download that somebody asked for.

The only file that talks to the hub. Nothing is fetched unless a configuration or a command names
it, and never when HF_HUB_OFFLINE is set.
"""

from __future__ import annotations

import os
from pathlib import Path

from core.errors import AfinaError

# safetensors only: other weight formats can carry code
FILES = [
    "*.safetensors",
    "*.safetensors.index.json",
    "*.json",
    "*.jinja",
    "tokenizer.model",
    "*.txt",
]


def model_folder(model: str | os.PathLike[str], revision: str | None = None) -> Path:
    """The folder of a model: a path, or a hub id whose files lie in the local cache."""
    path = Path(model).expanduser()
    if path.is_dir():
        return path
    if path.exists():
        raise AfinaError(
            f'"{path}" is a file, not a model folder.', "Name the folder that holds it."
        )
    cached = _cached(str(model), revision) if is_hub_id(model) else None
    if cached is not None:
        return cached
    raise AfinaError(
        f'There is no model "{model}", neither as a folder nor in the Hugging Face cache.',
        "Check the path, or download it first: hf download ORGANISATION/NAME.",
    )


def is_hub_id(model: str | os.PathLike[str]) -> bool:
    """Whether a name can be a hub id: `organisation/name`, or an old name without one."""
    name = str(model)
    return not Path(name).is_absolute() and name.count("/") <= 1 and not name.startswith((".", "~"))


def fetch(model: str, revision: str | None = None) -> Path:
    """The folder of a model; a hub id is downloaded as far as the cache does not hold it."""
    if not is_hub_id(model) or Path(model).expanduser().exists():
        return model_folder(model)
    from huggingface_hub import constants, snapshot_download
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, RepositoryNotFoundError

    try:
        return Path(
            snapshot_download(
                model,
                revision=revision,
                allow_patterns=FILES,
                local_files_only=constants.HF_HUB_OFFLINE,
            )
        )
    except GatedRepoError as error:
        raise AfinaError(
            f'"{model}" is gated, and this machine is not let in.',
            "Accept its terms on the hub, then `hf auth login`.",
        ) from error
    except RepositoryNotFoundError as error:
        raise AfinaError(f'There is no model "{model}" on the hub.', "Check the id.") from error
    except (HfHubHTTPError, OSError, ValueError) as error:
        way_out = (
            "HF_HUB_OFFLINE is set: unset it, or name a folder."
            if constants.HF_HUB_OFFLINE
            else "Check the id, the revision and the network, or name a folder."
        )
        reason = f" at revision {revision}" if revision else ""
        raise AfinaError(f'Can\'t fetch the model "{model}"{reason}.', way_out) from error


def _cached(name: str, revision: str | None) -> Path | None:
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    for file in ("tokenizer.json", "config.json"):
        try:
            found = try_to_load_from_cache(name, file, revision=revision)
        except HFValidationError:
            return None
        if isinstance(found, str):
            return Path(found).parent
    return None

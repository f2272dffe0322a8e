"""Datasets on the hub: the text and tables of a repository, fetched because somebody named it.

Nothing is fetched where HF_HUB_OFFLINE is set; what the local cache holds is used all the same.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from pathlib import Path

from core.data.files.concatenated import JoinedSource, Listing, Member
from core.data.files.discover import natural_key
from core.data.files.formats import ending_of
from core.data.files.prepared import PreparedSource
from core.data.files.rows import Cancelled, OnProgress, Source
from core.errors import AfinaError

_ID = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")
_ENDINGS = (".parquet", ".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".arrow", ".txt")
_TRAIN = re.compile(r"(^|[^a-z])train", re.IGNORECASE)
OpenFile = Callable[[Path], Source]


def is_dataset_id(name: str) -> bool:
    """Whether a name can be a dataset on the hub: no path of this machine begins like it."""
    path = Path(name)
    return (
        _ID.fullmatch(name) is not None
        and ending_of(path) is None
        and not path.exists()
        and not path.parent.exists()
    )


class HubSource(PreparedSource):
    """The rows of one dataset on the hub: its split "train", if its files are named by splits."""

    layout = "hub"

    def __init__(self, name: str, open_file: OpenFile) -> None:
        super().__init__(Path(name))
        self._name, self._open_file = name, open_file

    @property
    def _size(self) -> int:
        return 100  # per cent: sizes are known to the hub only

    def _prepare(self, on_progress: OnProgress, cancelled: Cancelled) -> Source | None:
        folder, names, others = _fetch(self._name, on_progress, cancelled)
        if not names:
            return None
        members = [
            Member(path, lambda path=path: self._open_file(path), size=path.stat().st_size)
            for path in (folder / name for name in names)
        ]
        skipped = [(folder / other, "of another split or form") for other in others]
        return JoinedSource(self.path, lambda: Listing(members, skipped))

    @property
    def files(self) -> list[Path]:
        return self._inner.files if self._inner else []

    def changed(self) -> bool:
        return self._inner is not None and self._inner.changed()

    def content_hash(self) -> str:
        known = self._inner.content_hash() if self._inner else ""
        return hashlib.sha256(f"{self._name} {known}".encode()).hexdigest()


def choose(names: list[str]) -> list[str]:
    """The data files of a repository: of one ending, and of the split "train" if splits are named.

    Raises AfinaError when it holds none.
    """
    found: dict[str, list[str]] = {}
    for name in names:
        ending = ending_of(Path(name))
        if ending and not any(part.startswith(".") for part in Path(name).parts):
            found.setdefault(ending.suffix, []).append(name)
    data = next((found[ending] for ending in _ENDINGS if ending in found), [])
    chosen = [name for name in data if _TRAIN.search(name)] or data
    return sorted(chosen, key=lambda name: natural_key(Path(name)))


def _fetch(
    name: str, on_progress: OnProgress, cancelled: Cancelled
) -> tuple[Path, list[str], list[str]]:
    """The folder, the names of the data files in it and of those that are not taken.

    No names when it was cancelled.
    """
    from huggingface_hub import HfApi, constants, hf_hub_download, snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError
    from huggingface_hub.utils import disable_progress_bars

    disable_progress_bars()  # they would be drawn over the app
    try:
        if constants.HF_HUB_OFFLINE:
            folder = Path(snapshot_download(name, repo_type="dataset", local_files_only=True))
            files = [path for path in folder.rglob("*") if path.is_file()]
            there = [str(path.relative_to(folder)) for path in files]
            return folder, *_require(name, there)
        info = HfApi().dataset_info(name)
        names, others = _require(name, [entry.rfilename for entry in info.siblings or []])
        folder = Path()
        for done, file in enumerate(names):
            if cancelled():
                return folder, [], []
            path = Path(hf_hub_download(name, file, repo_type="dataset", revision=info.sha))
            folder = Path(str(path).removesuffix(file))
            on_progress(done + 1, len(names))
        return folder, names, others
    except (HfHubHTTPError, HFValidationError, OSError, ValueError) as error:
        raise _refusal(name, constants.HF_HUB_OFFLINE) from error


def _require(name: str, names: list[str]) -> tuple[list[str], list[str]]:
    """The data files that are taken, and those that are not; prose is no data beside any."""
    chosen = choose(names)
    if not chosen:
        raise AfinaError(
            f'The dataset "{name}" holds no files of text or tables.',
            f"Readable are {', '.join(_ENDINGS)}.",
        )
    endings = [ending_of(Path(other)) for other in names]
    data = [
        other
        for other, ending in zip(names, endings, strict=True)
        if ending and ending.suffix in _ENDINGS and not other.startswith(".")
    ]
    return chosen, sorted(set(data) - set(chosen))


def _refusal(name: str, offline: bool) -> AfinaError:
    if offline:
        return AfinaError(
            f'There is no file "{name}", and as a dataset of the hub it is not in the local cache.',
            "HF_HUB_OFFLINE is set: check the path, or unset it to fetch the dataset.",
        )
    return AfinaError(
        f'There is no file "{name}", and it could not be fetched as a dataset of the hub.',
        "Check the path or the id, the network, and `hf auth login` if it is gated.",
    )

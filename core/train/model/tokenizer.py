"""The tokenizer that TRL is handed: of it the trainers ask the padding only."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from core.data.encode.tokenizer import special_tokens, tokenizer_file, tokenizer_values


def load_tokenizer(folder: Path) -> Any:
    """transformers' tokenizer of a model folder; also where its tokenizer.model stands alone, which
    transformers reads with a package of its own only.
    """
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    if tokenizer_file(folder).suffix == ".json":
        return AutoTokenizer.from_pretrained(str(folder))
    from tokenizers import Tokenizer

    raw = Tokenizer.from_buffer(msgspec.json.encode(tokenizer_values(folder)))
    return PreTrainedTokenizerFast(tokenizer_object=raw, **special_tokens(folder))

"""What decides how the rows of a file become tokens: one recipe for pane, commands and trainer."""

from __future__ import annotations

import msgspec

from core.config import Config
from core.data.encode.encoder import Encoder
from core.data.files.source import Source
from core.data.shapes.detect import Detection, detect, named_shape, require_trainable
from core.data.shapes.read import Reader
from core.errors import AfinaError
from core.hub import model_folder


class Recipe(msgspec.Struct, frozen=True):
    """The settings of a configuration that rows and tokens depend on; None is "find out"."""

    model: str = ""  # folder or cached hub id
    revision: str | None = None
    max_length: int | None = None  # tokens; None cuts nothing
    supervise: str = "assistant"
    shape: str | None = None
    chat_template: str | None = None  # a Jinja file, or a name of BUILT_IN; None is the model's own
    prompt_template: str | None = None  # of the shape "template": its last field is the completion

    @classmethod
    def of(cls, config: Config) -> Recipe:
        """The recipe of a run."""
        return cls(
            config.model.name_or_path,
            config.model.revision,
            config.data.max_length,
            config.train.supervise,
            None if config.data.format == "auto" else config.data.format,
            config.data.chat_template,
            config.data.prompt_template,
        )

    def encoder(self) -> Encoder:
        """Loads the tokenizer and the template; raises AfinaError where there is no model."""
        if not self.model:
            raise AfinaError(
                "No model is chosen, so rows can't be encoded.", "Choose a base model."
            )
        folder = model_folder(self.model, self.revision)
        return Encoder.load(folder, self.max_length, self.supervise, self.chat_template)

    def reader(self, source: Source, detection: Detection | None = None) -> Reader:
        """How to read the rows of a source; raises AfinaError for rows that can't be trained on.

        A prompt template without a shape is the shape "template".
        """
        if self.prompt_template and not self.shape:
            return Reader("template", self.prompt_template)
        if self.shape:
            return Reader(named_shape(self.shape), self.prompt_template)
        return Reader(require_trainable(detection or detect(source)))

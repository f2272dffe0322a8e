"""What another program reads in an ONNX folder: onnxruntime-genai's own tokenizer and templates."""

from __future__ import annotations

import importlib
import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

import msgspec

from core.data.encode.tokenizer import Tokenizer
from core.errors import AfinaError
from core.model_files.onnx import GRAPH
from exporters.contract import Conversation, Seen
from exporters.isolated import Send
from exporters.onnx.shared_graph import base_of, template_path

END_OF_TEXT = "\0"  # where the library's C interface takes a text to end


def read(send: Send, path: str, texts: list[str], conversations: list[Conversation]) -> None:
    """The work of a process of its own: sends a Seen as plain values.

    path: a folder, or an adapter, whose own template is handed to the library with each
    conversation. Texts with a NUL can't be asked: theirs are the ids of tokenizer.json. Raises
    AfinaError where the folder can't be read or rendered.
    """
    og: Any = importlib.import_module("onnxruntime_genai")
    og.disable_telemetry_events()
    adapter = Path(path) if Path(path).is_file() else None
    source = base_of(adapter) if adapter else Path(path)
    own = template_path(adapter) if adapter else None
    template = own.read_text(encoding="utf-8") if own and own.is_file() else None
    ours = Tokenizer.load(source)
    try:
        with tempfile.TemporaryDirectory() as folder:
            _without_weights(source, Path(folder))
            tokenizer = og.Tokenizer(og.Model(folder))
            ids = [
                ours.encode(text).ids if END_OF_TEXT in text else tokenizer.encode(text).tolist()
                for text in texts
            ]
            prompts = [_prompt(tokenizer, each, template) for each in conversations]
            stops = [int(token) for token in tokenizer.eos_token_ids]
    except RuntimeError as error:
        raise AfinaError(
            f"onnxruntime-genai can't read the folder or render its chat template: {error}.",
            "Write the template in plainer Jinja, or hand the library ids of your own.",
        ) from error
    send(msgspec.to_builtins(Seen(ids=ids, prompts=prompts, stop_ids=stops)))


def _without_weights(path: Path, folder: Path) -> None:
    """The same folder with a graph that does nothing: a tokenizer needs none of the model."""
    import onnx
    from onnx import TensorProto, helper

    for file in path.iterdir():
        if file.is_file() and not file.name.startswith(GRAPH):
            shutil.copyfile(file, folder / file.name)
    values = [
        helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "length"])
        for name in ("input_ids", "logits")
    ]
    node = helper.make_node("Identity", ["input_ids"], ["logits"])
    graph = helper.make_graph([node], "nothing", values[:1], values[1:])
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), folder / GRAPH)


def _prompt(tokenizer: Any, conversation: Conversation, template: str | None) -> list[int]:
    tools = conversation.get("tools")
    text = tokenizer.apply_chat_template(
        messages=json.dumps(conversation["messages"], ensure_ascii=False),
        template_str=template,
        tools=json.dumps(tools, ensure_ascii=False) if tools else None,
        add_generation_prompt=True,
    )
    return tokenizer.encode(text).tolist()

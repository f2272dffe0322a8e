"""llama.cpp's own converter runs beside us: found, checked, killed, and heard to its last word."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from gguf import GGUFReader

from core.errors import AfinaError
from core.runs.target import Target
from exporters.gguf.converter import convert, find
from exporters.gguf.prepare import prepare
from exporters.gguf.write import write_gguf
from tests.exporters.models import TEMPLATE
from tests.exporters.tokenizers_of import train, write_model

ROOT = Path(__file__).parents[3]
SLEEPS = "import os, sys, time; open(sys.argv[3], 'w').write(str(os.getpid())); time.sleep(600)"
TOUCHES = "import sys; open(sys.argv[3], 'w').write('GGUF')"
MISSING = "raise ModuleNotFoundError(\"No module named 'sentencepiece'\")"
LAST = (
    "import sys; sys.exit('INFO\\nmodel \\x1b[2Jarchitecture StrangeForCausalLM is not supported')"
)


def llama_cpp(folder: Path, script: str) -> Path:
    (folder / "gguf-py" / "gguf").mkdir(parents=True)
    (folder / "convert_hf_to_gguf.py").write_text(script)
    return folder


def nothing() -> None: ...


def test_a_folder_is_named_by_option_or_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LLAMA_CPP_DIR", raising=False)
    assert find(None) is None
    folder = llama_cpp(tmp_path / "a", "")
    monkeypatch.setenv("LLAMA_CPP_DIR", str(folder))
    assert find(None) == folder
    with pytest.raises(AfinaError, match="lacks convert_hf_to_gguf.py and gguf-py/gguf"):
        find(str(tmp_path))


@pytest.mark.parametrize(
    ("script", "words", "hint"),
    [
        (MISSING, "No module named", "pip install sentencepiece"),
        (LAST, "StrangeForCausalLM is not supported", "doesn't know this model"),
        ("", "exit code 0, without a word", "doesn't know this model"),
    ],
)
def test_its_last_words_are_told(tmp_path: Path, script: str, words: str, hint: str) -> None:
    folder = llama_cpp(tmp_path / "llama.cpp", script)
    with pytest.raises(AfinaError, match=words) as caught:
        convert(tmp_path, tmp_path / "x.gguf.part", folder, "f16", nothing)
    assert hint in caught.value.hint and "\x1b" not in caught.value.message
    assert [path.name for path in tmp_path.iterdir()] == ["llama.cpp"]


def test_a_cancel_ends_it_at_once(tmp_path: Path) -> None:
    class Cancelled(Exception):
        pass

    out = tmp_path / "x.gguf.part"

    def check() -> None:
        if out.is_file() and out.read_text():
            raise Cancelled

    folder = llama_cpp(tmp_path / "llama.cpp", SLEEPS)
    began = time.monotonic()
    with pytest.raises(Cancelled):
        convert(tmp_path, out, folder, "f16", check)
    assert time.monotonic() - began < 30
    assert not alive(int(out.read_text()))


def test_it_ends_with_the_process_that_runs_it(tmp_path: Path) -> None:
    out = tmp_path / "x.gguf.part"
    folder = llama_cpp(tmp_path / "llama.cpp", SLEEPS)
    order = "import sys, pathlib, exporters.gguf.converter as c; p = pathlib.Path(sys.argv[1]);"
    order += "c.convert(p, p / 'x.gguf.part', p / 'llama.cpp', 'f16', lambda: None)"
    runner = subprocess.Popen([sys.executable, "-c", order, str(tmp_path)], cwd=ROOT)
    try:
        wait_for(lambda: out.is_file() and out.read_text())
    finally:
        runner.kill()
        runner.wait()
    child = int(out.read_text())
    wait_for(lambda: not alive(child))
    assert folder.is_dir()


def wait_for(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    status = Path(f"/proc/{process}/stat")  # an orphan may stay a zombie where nobody reaps it
    return not status.is_file() or status.read_text().rpartition(")")[2].split()[0] != "Z"


@pytest.mark.parametrize("writes_bos", [True, False])
def test_a_folder_is_handed_on_with_what_other_programs_read_right(
    tmp_path: Path, writes_bos: bool
) -> None:
    merged = tmp_path / "merged"
    template = "{{- bos_token -}}" * writes_bos + TEMPLATE
    write_model(merged, train("gpt-2", bos=True), template, names_bos=True)
    (merged / "chat_template.jinja").write_text(template)
    (merged / "additional_chat_templates").mkdir()
    (merged / "additional_chat_templates" / "tools.jinja").write_text(TEMPLATE)
    convert(merged, tmp_path / "x", llama_cpp(tmp_path / "llama.cpp", TOUCHES), "f16", nothing)
    settings = json.loads((merged / "tokenizer_config.json").read_text())
    assert settings["add_bos_token"] == writes_bos and not settings["add_eos_token"]
    more = (merged / "additional_chat_templates" / "tools.jinja").read_text()
    for text in (settings["chat_template"], (merged / "chat_template.jinja").read_text(), more):
        assert "{%- if true -%}" in text and "generation -%}" not in text


def test_other_types_are_made_by_llama_cpps_quantizer(tmp_path: Path, base: Path) -> None:
    prepared = prepare(Target("x", "hf", str(base), label="x"))
    files = {name: tmp_path / f"{name}.gguf" for name in ("f32", "q4_k_m")}
    write_gguf(prepared, files, lambda *values: None)
    script = f"import shutil, sys; assert sys.argv[5] == 'f32'; shutil.copy({str(files['f32'])!r}, "
    folder = llama_cpp(tmp_path / "llama.cpp", script + "sys.argv[3])")
    convert(base, tmp_path / "made.gguf", folder, "q4_k_m", nothing)
    made, ours = GGUFReader(tmp_path / "made.gguf"), GGUFReader(files["q4_k_m"])
    kinds = {tensor.name: tensor.tensor_type for tensor in made.tensors}
    assert kinds == {tensor.name: tensor.tensor_type for tensor in ours.tensors}
    assert not (tmp_path / "made.gguf.whole").exists()


def test_a_type_that_needs_an_importance_matrix_is_refused(tmp_path: Path) -> None:
    folder = llama_cpp(tmp_path / "llama.cpp", "")
    with pytest.raises(AfinaError, match="iq2_xxs needs an importance matrix"):
        convert(tmp_path, tmp_path / "x.gguf", folder, "iq2_xxs", nothing)

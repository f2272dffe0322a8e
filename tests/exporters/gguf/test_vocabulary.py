"""A tokenizer is known by its structure, and llama.cpp reads texts into the same tokens."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer as RawTokenizer

from core.data.encode.template import ChatTemplate
from core.data.encode.tokenizer import Tokenizer
from core.errors import AfinaError
from core.runs.target import Target
from core.samples import TINY_MODEL
from exporters.gguf.byte_level import split_name
from exporters.gguf.converter import Refused
from exporters.gguf.prepare import Prepared, prepare
from exporters.gguf.readback import Seen, read_back
from exporters.gguf.sentencepiece import spaces
from exporters.gguf.vocabulary import (
    BYTE,
    CONTROL,
    NORMAL,
    UNKNOWN,
    UNUSED,
    USER_DEFINED,
    read_vocabulary,
)
from exporters.gguf.write import write_gguf
from exporters.parity.snippets import PIECES, hostile_snippets
from tests.exporters import tokenizers_of
from tests.exporters.models import END, PAD, START, TEMPLATE
from tests.exporters.tokenizers_of import BOS, train, train_sentencepiece, write_model

QUESTION = {"messages": [{"role": "user", "content": "Where to? é"}]}
MARKS = set("\u0301\u0308\u0303")
PLAIN_TEMPLATE = """{%- for message in messages -%}
  {{- ('Q: ' if message['role'] == 'user' else 'A: ') + message['content'] + '\\n' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- 'A: ' -}}{%- endif -%}
"""
WITH_BOS = "{{- bos_token -}}" + TEMPLATE


def export(folder: Path) -> tuple[Prepared, Path]:
    prepared = prepare(Target("x", "hf", str(folder), label="x"))
    write_gguf(prepared, {"f16": folder / "x.gguf"}, lambda *values: None)
    return prepared, folder / "x.gguf"


def different(folder: Path, file: Path, texts: list[str]) -> list[str]:
    """The texts that llama.cpp reads into other tokens than those that are trained on."""
    expected = [item.ids for item in Tokenizer.load(folder).encode_many(texts)]
    found = read_back(file, texts).ids
    return [text for text, a, b in zip(texts, expected, found, strict=True) if a != b]


@pytest.mark.parametrize("kind", ["gpt-2", "smollm", *tokenizers_of.SPLIT_BY])
def test_llama_cpp_reads_hostile_texts_into_the_same_tokens(tmp_path: Path, kind: str) -> None:
    write_model(tmp_path, train(kind))
    prepared, file = export(tmp_path)
    assert prepared.vocabulary.pre == kind.split()[0]
    snippets = hostile_snippets(prepared.vocabulary.special)
    assert len(snippets) > 300
    changed = different(tmp_path, file, snippets)
    composed = [text for text in changed if not MARKS & set(text)]  # qwen2 composes accents first
    assert composed == [] and (changed == [] or kind in tokenizers_of.COMPOSING)
    assert bool(prepared.notes) == (kind in tokenizers_of.COMPOSING)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t: t["model"].update(type="Unigram"), "tokenizer is Unigram"),
        (lambda t: t["model"].update(end_of_word_suffix="</w>"), "marks the parts of words"),
        (lambda t: t["model"].update(ignore_merges=True), "splits text in a way"),
        (lambda t: t.update(normalizer={"type": "Lowercase"}), r'rewrites text first \("Lower'),
        (lambda t: t.update(pre_tokenizer={"type": "Whitespace"}), "not byte-level"),
        (lambda t: t["pre_tokenizer"].update(add_prefix_space=True), "not byte-level"),
        (lambda t: t["pre_tokenizer"].update(use_regex=False), "splits text in a way"),
    ],
)
def test_another_structure_is_refused_with_what_is_known(change: Any, words: str) -> None:
    tokenizer = json.loads(train("gpt-2").to_str())
    assert split_name(tokenizer) == "gpt-2"
    change(tokenizer)
    with pytest.raises(Refused, match=words) as caught:
        split_name(tokenizer)
    assert "SmolLM or StarCoder" in caught.value.hint and "--llama-cpp DIR" in caught.value.hint


@pytest.mark.parametrize("spaces", ["always", "never"])
def test_llama_cpp_reads_hostile_texts_with_byte_fallback(tmp_path: Path, spaces: str) -> None:
    write_model(tmp_path, train_sentencepiece(spaces))
    prepared, file = export(tmp_path)
    vocabulary = prepared.vocabulary
    assert (vocabulary.model, vocabulary.adds_space) == ("llama", spaces == "always")
    kinds = dict(zip(vocabulary.tokens, vocabulary.kinds, strict=True))
    assert (kinds["<0x0A>"], kinds["<unk>"], kinds["▁"]) == (BYTE, UNKNOWN, NORMAL)
    assert different(tmp_path, file, hostile_snippets(vocabulary.special)) == []


def test_a_space_in_front_of_texts_alone_is_exact_behind_a_special_token(tmp_path: Path) -> None:
    write_model(tmp_path, train_sentencepiece("first"))
    prepared, file = export(tmp_path)
    assert not prepared.vocabulary.adds_space
    assert "prompts have equal tokens" in prepared.notes[0]
    snippets = hostile_snippets(prepared.vocabulary.special)
    assert different(tmp_path, file, [START + text for text in snippets]) == []
    plain = different(tmp_path, file, snippets)
    assert "Hello world" in plain and START not in plain


def test_a_space_in_front_of_texts_alone_is_exact_without_special_tokens(tmp_path: Path) -> None:
    write_model(tmp_path, train_sentencepiece("first"), PLAIN_TEMPLATE)
    prepared, file = export(tmp_path)
    assert prepared.vocabulary.adds_space and prepared.notes == ()
    assert different(tmp_path, file, [f"Q: {text}" for text in PIECES]) == []


def test_a_space_in_front_unless_one_is_there_is_told_and_exact_where_none_is(
    tmp_path: Path,
) -> None:
    values = json.loads(train_sentencepiece("first").to_str())
    values["pre_tokenizer"]["prepend_scheme"] = "always"
    write_model(tmp_path, RawTokenizer.from_str(json.dumps(values)))
    prepared, file = export(tmp_path)
    assert prepared.vocabulary.adds_space and "unless one is there" in prepared.notes[0]
    snippets = hostile_snippets(prepared.vocabulary.special)
    odd = different(tmp_path, file, snippets)
    assert odd and all(text.startswith(" ") or "> " in text for text in odd)
    inside = [f"{START}user\n{text}" for text in snippets]
    assert all("> " in text for text in different(tmp_path, file, inside))


def test_a_space_in_front_of_texts_alone_is_refused_where_llama_cpp_adds_more(
    tmp_path: Path,
) -> None:
    template = PLAIN_TEMPLATE.replace("A: ", START)
    write_model(tmp_path, train_sentencepiece("first"), template)
    with pytest.raises(Refused, match="behind every special token too or nowhere"):
        prepare(Target("x", "hf", str(tmp_path), label="x"))


def test_a_folder_with_a_sentencepiece_model_alone_reads_the_same(tmp_path: Path) -> None:
    tokenizer = train_sentencepiece("always")
    write_model(tmp_path, tokenizer)
    (tmp_path / "tokenizer.json").unlink()
    tokenizers_of.write_sentencepiece(tmp_path / "tokenizer.model", tokenizer)
    prepared, file = export(tmp_path)
    assert (prepared.vocabulary.model, prepared.vocabulary.adds_space) == ("llama", True)
    assert different(tmp_path, file, hostile_snippets(prepared.vocabulary.special)) == []


def test_special_tokens_that_swallow_spaces_as_phi_3s_do_so_in_llama_cpp_too(
    tmp_path: Path,
) -> None:
    values = json.loads(train_sentencepiece("always").to_str())
    names = {START: "<|user|>", END: "<|end|>", BOS: "<s>", PAD: "<|endoftext|>"}
    for token in values["added_tokens"]:
        token["content"] = names.get(token["content"], token["content"])
        token["rstrip"] = token["content"] in ("<|user|>", "<|end|>", "</s>")
    vocabulary = values["model"]["vocab"]
    values["model"]["vocab"] = {names.get(text, text): at for text, at in vocabulary.items()}
    end = {"id": len(vocabulary), "content": "</s>", "rstrip": True, "special": True}
    values["model"]["vocab"]["</s>"] = len(vocabulary)
    values["added_tokens"].append(values["added_tokens"][0] | end)
    template = TEMPLATE.replace(START, "<|user|>").replace(END, "<|end|>")
    stops = [values["model"]["vocab"]["<|end|>"]]
    tokenizer = RawTokenizer.from_str(json.dumps(values))
    write_model(tmp_path, tokenizer, template, stops=stops)
    prepared, file = export(tmp_path)
    assert (prepared.name, prepared.notes) == ("x (phi-3)", ())
    texts = [f"<|user|>{space}{piece}<|end|>" for piece in PIECES for space in ("\n", "  ", "")]
    odd = different(tmp_path, file, texts)
    assert all("\u00a0" in text for text in odd)  # llama.cpp swallows plain white space only
    values["added_tokens"][0]["rstrip"] = True  # a set of tokens that llama.cpp has no word for
    RawTokenizer.from_str(json.dumps(values)).save(str(tmp_path / "tokenizer.json"))
    other = prepare(Target("x", "hf", str(tmp_path), label="my phi-3"))
    assert other.name == "my phi 3" and "swallows the space behind it" in other.notes[0]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t: t.update(normalizer={"type": "NFKC"}), r'rewrites text first \("NFKC"\)'),
        (lambda t: t.update(normalizer=None), "leaves spaces as they are"),
        (lambda t: t.update(pre_tokenizer={"type": "Whitespace"}), "splits text first"),
        (
            lambda t: t.update(
                pre_tokenizer={"type": "Metaspace", "replacement": "▁", "split": True}
            ),
            "tokens with a space inside",
        ),
    ],
)
def test_a_sentencepiece_of_another_structure_is_refused(change: Any, words: str) -> None:
    tokenizer = json.loads(train_sentencepiece("always").to_str())
    assert spaces(tokenizer) == "always"
    tokenizer["model"]["merges"].append(["▁", "▁"])
    change(tokenizer)
    with pytest.raises(Refused, match=words):
        spaces(tokenizer)


def test_the_sample_model_can_be_exported_and_reads_the_same_everywhere(tmp_path: Path) -> None:
    prepared = prepare(Target("x", "hf", str(TINY_MODEL), label="x"))
    stops = [prepared.vocabulary.tokens[token] for token in prepared.stops]
    assert (stops, prepared.add_bos, prepared.notes) == ([END], False, ())
    write_gguf(prepared, {"bf16": tmp_path / "x.gguf"}, lambda *values: None)
    snippets = hostile_snippets(prepared.vocabulary.special)
    seen = read_back(tmp_path / "x.gguf", snippets, [QUESTION])
    tokenizer = Tokenizer.load(TINY_MODEL)
    assert seen.ids == [item.ids for item in tokenizer.encode_many(snippets)]
    text = ChatTemplate.load(TINY_MODEL).render(QUESTION["messages"], add_generation_prompt=True)
    assert seen.prompts == [tokenizer.encode(text.text).ids]


def test_a_split_at_capitals_is_refused_since_llama_cpp_knows_those_of_ascii_only() -> None:
    tokenizer = json.loads(train("qwen2").to_str())
    expression = r"[\p{Lu}\p{Lt}]*[\p{Ll}\p{M}]+|\p{N}{1,3}|\s+"
    tokenizer["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"] = expression
    with pytest.raises(
        Refused, match="GPT-4o and Tekken do, and llama.cpp finds them in ASCII only"
    ):
        split_name(tokenizer)


def test_an_unknown_expression_is_shown(tmp_path: Path) -> None:
    tokenizer = json.loads(train("qwen2").to_str())
    tokenizer["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"] = r"\w+|\W+"
    with pytest.raises(AfinaError, match=r"not known: Split \\w\+\|\\W\+, ByteLevel"):
        split_name(tokenizer)


def test_special_added_and_missing_tokens_have_their_kinds(tmp_path: Path) -> None:
    tokenizer = train("gpt-2")
    tokenizer.add_tokens(["<tool_call>"])
    write_model(tmp_path, tokenizer)
    vocabulary = read_vocabulary(tmp_path, rows=1600)
    kinds = dict(zip(vocabulary.tokens, vocabulary.kinds, strict=True))
    assert (kinds[END], kinds["<tool_call>"], kinds["a"]) == (CONTROL, USER_DEFINED, NORMAL)
    assert len(vocabulary.tokens) == 1600 and vocabulary.tokens[-1] == "[PAD1599]"
    assert kinds["[PAD1599]"] == UNUSED
    assert vocabulary.merges[0].count(" ") == 1
    assert (vocabulary.tokens[vocabulary.eos or -1], vocabulary.bos) == (END, None)
    assert vocabulary.tokens[vocabulary.pad if vocabulary.pad is not None else -1] == PAD


def test_a_token_that_llama_cpp_would_cut_is_refused(tmp_path: Path) -> None:
    tokenizer = train("gpt-2")
    tokenizer.add_tokens(["a\0b"])
    write_model(tmp_path, tokenizer)
    with pytest.raises(Refused, match="holds the character NUL"):
        read_vocabulary(tmp_path, rows=1600)


def test_a_tokenizer_with_more_ids_than_the_model_has_rows_is_refused(tmp_path: Path) -> None:
    write_model(tmp_path, train("gpt-2"))
    with pytest.raises(AfinaError, match="the model has rows for 100 tokens"):
        read_vocabulary(tmp_path, rows=100)


def seen_prompts(folder: Path, **options: Any) -> tuple[Prepared, Seen, list[int]]:
    """What other programs feed for a question, and what training had."""
    tokenizer = train("gpt-2", bos=options.pop("adds_bos", False))
    write_model(folder, tokenizer, names_bos=True, **options)
    prepared, file = export(folder)
    text = ChatTemplate.load(folder).render(QUESTION["messages"], add_generation_prompt=True).text
    return prepared, read_back(file, [], [QUESTION]), Tokenizer.load(folder).encode(text).ids


@pytest.mark.parametrize("adds_bos", [True, False])
@pytest.mark.parametrize("template", [WITH_BOS, TEMPLATE])
def test_other_programs_feed_bos_just_where_training_had_it(
    tmp_path: Path, adds_bos: bool, template: str
) -> None:
    prepared, seen, trained = seen_prompts(tmp_path, adds_bos=adds_bos, template=template)
    assert seen.prompts == [trained]
    assert prepared.add_bos == (adds_bos and template == WITH_BOS)
    bos = prepared.vocabulary.tokens.index(BOS)
    assert trained.count(bos) == (template == WITH_BOS)


def test_a_template_that_asks_for_a_bos_that_is_not_there_writes_nothing(tmp_path: Path) -> None:
    write_model(tmp_path, train("gpt-2"), template=WITH_BOS)
    _, file = export(tmp_path)
    text = "<|im_start|>user\nWhere to? é<|im_end|>\n<|im_start|>assistant\n"
    assert read_back(file, [], [QUESTION]).prompts == [Tokenizer.load(tmp_path).encode(text).ids]


def test_every_stop_token_of_the_model_stops_llama_cpp(tmp_path: Path) -> None:
    tokenizer = train("gpt-2")
    ids = [tokenizer.token_to_id(word) for word in (END, "z", "!")]
    write_model(tmp_path, tokenizer, stops=ids)
    prepared, file = export(tmp_path)
    assert prepared.stops[0] == ids[0]  # the one that ends a turn
    assert set(ids) <= set(read_back(file, []).stop_ids)


def test_a_model_without_a_stop_token_is_refused(tmp_path: Path) -> None:
    write_model(tmp_path, train("gpt-2"), stops=[])
    tokenizers_of.write_json(tmp_path / "tokenizer_config.json", {"chat_template": TEMPLATE})
    with pytest.raises(AfinaError, match="names no stop token"):
        prepare(Target("x", "hf", str(tmp_path)))


def test_a_file_that_is_no_gguf_is_refused_with_llama_cpps_words(tmp_path: Path) -> None:
    (tmp_path / "x.gguf").write_bytes(b"GGUF" + b"\0" * 60)
    with pytest.raises(AfinaError, match="llama.cpp can't open the file: .+"):
        read_back(tmp_path / "x.gguf", [])

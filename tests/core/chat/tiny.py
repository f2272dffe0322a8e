"""A tiny random Llama with a ChatML tokenizer, an adapter for it, and the model as a GGUF file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

STOP = "<|im_end|>"
TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{% if message['role'] == 'assistant' %}{% generation %}{{ message['content'] }}<|im_end|>"
    "{% endgeneration %}{% else %}{{ message['content'] }}<|im_end|>{% endif %}\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
LINES = [
    "Rome is the capital of Italy, and its old quarter is best seen on foot.",
    "¿Qué se come en Sevilla? En Sevilla se come salmorejo.",
    "In Kyoto people drink green tea, and the trams are slow but kind.",
]


def write_model(folder: Path) -> None:
    """A Llama of two layers with some 330 tokens and a context of 256."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    stop, size = _write_tokenizer(folder)
    torch.manual_seed(7)
    config = LlamaConfig(
        vocab_size=size,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=256,
        initializer_range=0.3,
        tie_word_embeddings=False,
        bos_token_id=None,
        eos_token_id=stop,
    )
    LlamaForCausalLM(config).save_pretrained(folder)


def _write_tokenizer(folder: Path) -> tuple[int, int]:
    """Writes tokenizer and template; returns the stop token's id and the vocabulary's size."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=330,
        special_tokens=["<|endoftext|>", "<|im_start|>", STOP],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(LINES, trainer)
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "eos_token": STOP,
        "pad_token": "<|endoftext|>",
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    (folder / "chat_template.jinja").write_text(TEMPLATE)
    return tokenizer.token_to_id(STOP), tokenizer.get_vocab_size()


def write_adapter(model: Path, folder: Path, seed: int = 8, **options: object) -> None:
    """An adapter that changes what the model says."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import LlamaForCausalLM

    torch.manual_seed(seed)
    fields = {"r": 4, "target_modules": ["q_proj", "v_proj"], "task_type": "CAUSAL_LM"} | options
    config = LoraConfig(**fields)  # type: ignore[arg-type]
    tuned = get_peft_model(LlamaForCausalLM.from_pretrained(model), config)
    for name, weight in tuned.named_parameters():
        if "lora_B" in name or ("modules_to_save" in name and weight.requires_grad):
            torch.nn.init.normal_(weight, std=0.5)
    tuned.save_pretrained(folder)


def write_gguf(model: Path, path: Path) -> None:
    """The model as a GGUF file in f32, written here so that chat is tested without the exporter."""
    from gguf import GGUFWriter, TokenType
    from gguf.constants import MODEL_ARCH, LlamaFileType
    from gguf.tensor_mapping import get_tensor_name_map
    from safetensors.numpy import load_file
    from tokenizers import Tokenizer

    config = json.loads((model / "config.json").read_text())
    writer = GGUFWriter(path, "llama")
    writer.add_file_type(LlamaFileType.ALL_F32)
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_vocab_size(config["vocab_size"])
    tokenizer = Tokenizer.from_file(str(model / "tokenizer.json"))
    saved = json.loads((model / "tokenizer.json").read_text())
    special = {token["id"] for token in saved["added_tokens"]}
    ids = range(tokenizer.get_vocab_size())
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list([tokenizer.id_to_token(i) for i in ids])
    writer.add_token_types([TokenType.CONTROL if i in special else TokenType.NORMAL for i in ids])
    writer.add_token_merges([" ".join(merge) for merge in saved["model"]["merges"]])
    writer.add_eos_token_id(tokenizer.token_to_id(STOP))
    plain = TEMPLATE.replace("{% generation %}", "").replace("{% endgeneration %}", "")
    writer.add_chat_template(plain)  # other programs don't know the markers
    names = get_tensor_name_map(MODEL_ARCH.LLAMA, config["num_hidden_layers"])
    for name, weight in load_file(model / "model.safetensors").items():
        writer.add_tensor(
            names.get_name(name, try_suffixes=(".weight",)), _paired(name, weight, config)
        )
    _write(writer)


def write_gguf_adapter(model: Path, adapter: Path, path: Path) -> None:
    """A LoRA of write_adapter as a GGUF adapter file, again without the exporter."""
    from gguf import GGUFWriter
    from gguf.constants import MODEL_ARCH
    from gguf.tensor_mapping import get_tensor_name_map
    from safetensors.numpy import load_file

    config = json.loads((model / "config.json").read_text())
    writer = GGUFWriter(path, "llama")
    writer.add_type("adapter")
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", 8.0)  # LoraConfig's default
    names = get_tensor_name_map(MODEL_ARCH.LLAMA, config["num_hidden_layers"])
    for key, weight in load_file(adapter / "adapter_model.safetensors").items():
        name, part = key.removeprefix("base_model.model.").removesuffix(".weight").split(".lora_")
        if part == "B":
            weight = _paired(f"{name}.weight", weight, config)
        writer.add_tensor(f"{names.get_name(name)}.weight.lora_{part.lower()}", weight)
    _write(writer)


def _paired(name: str, weight: Any, config: dict[str, Any]) -> Any:
    """Rows of q and k in pairs, as llama.cpp wants them."""
    heads = {"q_proj": "num_attention_heads", "k_proj": "num_key_value_heads"}
    heads_of = heads.get(name.split(".")[-2])
    if heads_of is None:
        return weight
    rows, columns = weight.shape
    pairs = weight.reshape(config[heads_of], 2, rows // config[heads_of] // 2, columns)
    return pairs.swapaxes(1, 2).reshape(rows, columns).copy()


def _write(writer: Any) -> None:
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def write_small_adapter(model: Path, folder: Path, kind: str) -> None:
    """IA3 factors or a learned prompt that change what the model says."""
    import torch
    from peft import IA3Config, PromptTuningConfig, get_peft_model
    from transformers import LlamaForCausalLM

    torch.manual_seed(9)
    inner = {"target_modules": ["k_proj", "v_proj", "down_proj"], "task_type": "CAUSAL_LM"}
    config = {
        "ia3": IA3Config(feedforward_modules=["down_proj"], **inner),
        "prompt": PromptTuningConfig(num_virtual_tokens=7, task_type="CAUSAL_LM"),
    }[kind]
    tuned = get_peft_model(LlamaForCausalLM.from_pretrained(model), config)
    for weight in tuned.parameters():
        if weight.requires_grad:
            torch.nn.init.normal_(weight, mean=1.0 if kind == "ia3" else 0.0, std=0.5)
    tuned.save_pretrained(folder)

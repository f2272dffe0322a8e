"""What each type of export may lose before it is a warning or a fail, and the sources.

- KL of quantized GGUF types: llama.cpp's tools/perplexity/README.md, "LLaMA 3 8b Scoreboard"
  (llama-cpp-python 0.3.36), mean KL: q8_0 0.0014, q6_K 0.0055, q5_K_M 0.011, q5_K_S 0.017, q4_K_M
  0.031, q4_K_S 0.043, q4_0 0.072, q3_K_M 0.102, q2_K 0.445, and with an importance matrix iq4_NL
  and iq4_XS 0.036 (they get the bounds of q4_K_S: they may be written without one), iq3_XXS 0.184,
  iq2_XXS 0.812. Other models and texts differ: a pass is up to 3 times that, a fail beyond 8
  times, and 5 nats at most, which is near to knowing nothing. Seen with the sample run, 5.8 M
  parameters, after one epoch and after three: q8_0 0.0004 and 0.0001, q4_K_M 0.022 and 0.004, q2_K
  0.33 and 0.06; after three iq3_XXS 0.03 and iq2_XXS 0.2. Two of its tensors exchanged lose 0.3 to
  0.8, half of the adapter 1.0, all of it 5.6 to 7.5.
- f32, f16, bf16: trials over ten families of random models, worst log p 0.001, 0.03 and 0.04 away;
  llama.cpp's f16 key-value cache alone makes 0.003. A GGUF adapter lies over a base in f16.
- ONNX: no scoreboard is published. Trials over random models beside q4_k_m (KL 0.076): int4 with
  onnxruntime-genai's own choice of blocks 0.106, asymmetric ones 0.085, mixed with int8 for
  quality 0.056. So int4 may lose 1.4 times what q4_k_m may, int4-quality as much. int8 has blocks
  of 32 with a scale as q8_0 has, and multiplies by activations in 8 bits too. fp32 computes what
  transformers does in another order. Seen with the sample run after three epochs: int8 0.0001,
  int4 0.008, int4-quality 0.003; with the adapter apart after one, multi-int4 0.040.
- Merged models are loaded by transformers in float32 again: what is lost is the rounding of the
  weights, the same as in GGUF files of that type.
- Perplexity: KL is the mean of log p - log q where the tuned model is right about the text, so the
  logarithm of the ratio has the same bounds. The scoreboard agrees: q4_K_M 0.028 and 0.031, q8_0
  0.0004 and 0.0014.
- Greedy answers: one near tie sends the rest of an answer another way, so only answers count that
  part at a token which the tuned model finds e times less likely than its own.
"""

from __future__ import annotations

import msgspec


class Bounds(msgspec.Struct, frozen=True):
    """Of two numbers, a warning beyond the first and a fail beyond the second."""

    kl: tuple[float, float]  # nats a token, and the logarithm of the ratio of perplexities
    parted: tuple[float, float]  # share of the answers that part where the tuned model was sure
    delta: tuple[float, float] | None = None  # of log p of one token

    def widened(self, other: Bounds) -> Bounds:
        """What may be lost where what is compared with loses as much as `other` itself."""
        kl = (self.kl[0] + other.kl[0], self.kl[1] + other.kl[1])
        parted = (max(self.parted[0], other.parted[0]), max(self.parted[1], other.parted[1]))
        if self.delta is None or other.delta is None:
            return Bounds(kl, parted)
        return Bounds(kl, parted, (self.delta[0] + other.delta[0], self.delta[1] + other.delta[1]))


F32 = Bounds((0.0005, 0.005), (0.0, 0.1), (0.01, 0.1))
F16 = Bounds((0.001, 0.01), (0.0, 0.1), (0.03, 0.3))
BF16 = Bounds((0.003, 0.03), (0.05, 0.25), (0.08, 0.8))
EIGHT_BITS = Bounds((0.0042, 0.011), (0.05, 0.25))
Q4_K_M = Bounds((0.096, 0.25), (0.25, 0.6))
Q4_K_S = Bounds((0.13, 0.35), (0.3, 0.65))

BOUNDS = {
    "gguf:f32": F32,
    "gguf:f16": F16,
    "gguf:bf16": BF16,
    "gguf:lora": F16,
    "gguf:q8_0": EIGHT_BITS,
    "gguf:q6_k": Bounds((0.017, 0.044), (0.1, 0.35)),
    "gguf:q5_k_m": Bounds((0.033, 0.086), (0.15, 0.45)),
    "gguf:q5_k_s": Bounds((0.05, 0.13), (0.2, 0.5)),
    "gguf:q4_k_m": Q4_K_M,
    "gguf:q4_k_s": Q4_K_S,
    "gguf:iq4_nl": Q4_K_S,
    "gguf:iq4_xs": Q4_K_S,
    "gguf:q4_0": Bounds((0.22, 0.58), (0.35, 0.75)),
    "gguf:q3_k_m": Bounds((0.31, 0.82), (0.4, 0.8)),
    "gguf:iq3_xxs": Bounds((0.55, 1.5), (0.5, 0.9)),
    "gguf:q2_k": Bounds((1.3, 3.6), (0.6, 0.95)),
    "gguf:iq2_xxs": Bounds((2.4, 5.0), (0.8, 1.0)),
    "onnx:fp32": F32,
    "onnx:int8": EIGHT_BITS,
    "onnx:int4": Q4_K_S,
    "onnx:int4-quality": Q4_K_M,
    "merged:f32": F32,
    "merged:f16": F16,
    "merged:bf16": BF16,
}


def bounds_of(kind: str, type_name: str) -> Bounds:
    """The bounds of a type; a base that takes adapters may lose what the merged one may."""
    return BOUNDS[f"{kind}:{type_name.removeprefix('multi-')}"]

"""Chat templates of the known formats, as small as they can be, for special tokens <s> and </s>."""

from __future__ import annotations

from core.data.encode.template import ChatTemplate

SPECIAL = {"bos_token": "<s>", "eos_token": "</s>"}
_MERGED = (  # a system message becomes the start of the {} user's message
    "{%- if messages[0].role == 'system' -%}{%- set said = messages[0].content + '\\n\\n' -%}"
    "{%- set messages = messages[1:] -%}{%- else -%}{%- set said = '' -%}{%- endif -%}"
)
FORMATS = {
    "chatml": """{%- for m in messages -%}
{{- '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>\\n' -}}
{%- endfor -%}{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\\n' -}}{%- endif -%}""",
    "llama3": """{{- bos_token -}}{%- for m in messages -%}
{{- '<|start_header_id|>' + m.role + '<|end_header_id|>\\n\\n' + m.content | trim + '<|eot_id|>' -}}
{%- endfor -%}{%- if add_generation_prompt -%}
{{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' -}}{%- endif -%}""",
    "llama2": """{%- for m in messages -%}{%- if m.role == 'system' -%}
{{- bos_token + '[INST] <<SYS>>\\n' + m.content + '\\n<</SYS>>\\n\\n' -}}
{%- elif m.role == 'user' -%}
{{- (bos_token + '[INST] ' if loop.first or messages[loop.index0 - 1].role != 'system' else '') -}}
{{- m.content + ' [/INST]' -}}{%- else -%}{{- ' ' + m.content + ' ' + eos_token -}}{%- endif -%}
{%- endfor -%}""",
    "gemma": """{{- bos_token -}}"""
    + _MERGED
    + """{%- for m in messages -%}
{{- '<start_of_turn>' + ('model' if m.role == 'assistant' else m.role) + '\\n' -}}
{{- (said if loop.first else '') + m.content | trim + '<end_of_turn>\\n' -}}
{%- endfor -%}{%- if add_generation_prompt -%}{{- '<start_of_turn>model\\n' -}}{%- endif -%}""",
    "mistral": """{{- bos_token -}}"""
    + _MERGED
    + """{%- for m in messages -%}{%- if m.role == 'user' -%}
{{- '[INST] ' + (said if loop.last else '') + m.content + '[/INST]' -}}
{%- else -%}{{- ' ' + m.content + eos_token -}}{%- endif -%}{%- endfor -%}""",
    "phi3": """{%- for m in messages -%}{{- '<|' + m.role + '|>\\n' + m.content + '<|end|>\\n' -}}
{%- endfor -%}{{- '<|assistant|>\\n' if add_generation_prompt else eos_token -}}""",
    "zephyr": """{%- for m in messages -%}
{{- '<|' + m.role + '|>\\n' + m.content + eos_token + '\\n' -}}
{%- endfor -%}{%- if add_generation_prompt -%}{{- '<|assistant|>\\n' -}}{%- endif -%}""",
    "granite": """{%- set turn = '<|start_of_role|>{}<|end_of_role|>{}<|end_of_text|>\\n' -%}
{%- if messages[0].role != 'system' -%}
{{- turn.format('system', 'Today is ' + strftime_now('%d %B %Y') + '.') -}}{%- endif -%}
{%- for m in messages -%}{{- turn.format(m.role, m.content) -}}{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<|start_of_role|>assistant<|end_of_role|>' -}}{%- endif -%}""",
    "smollm3": """{%- set thinks = '/think' -%}{{- '<|im_start|>system\\n## Metadata\\n' -}}
{%- if messages[0].role == 'system' -%}{%- set said = messages[0].content -%}
{%- set messages = messages[1:] -%}{%- else -%}{%- set said = 'You are helpful.' -%}{%- endif -%}
{{- 'Mode: ' + thinks + '\\n' + said + '<|im_end|>\\n' -}}{%- for m in messages -%}
{{- '<|im_start|>' + m.role + '\\n' -}}
{{- m.content.split('</think>')[-1].lstrip('\\n') + '<|im_end|>\\n' -}}
{%- endfor -%}{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\\n' -}}{%- endif -%}""",
    "olmo2": """{{- bos_token -}}{%- for m in messages -%}
{{- '<|' + m.role + '|>\\n' + m.content -}}
{{- eos_token if m.role == 'assistant' else '' -}}
{{- '' if loop.last and m.role == 'assistant' else '\\n' -}}
{%- endfor -%}{%- if add_generation_prompt -%}{{- '<|assistant|>\\n' -}}{%- endif -%}""",
    "braces": """{%- for m in messages -%}
{{- '{{' + m.role + ': "' + m.content + '"}}\\u00a0\\t\\n' -}}
{%- endfor -%}{{- '\\"\\"\\"\\n{' -}}""",
}


def template_of(source: str) -> ChatTemplate:
    return ChatTemplate({"default": source}, SPECIAL)

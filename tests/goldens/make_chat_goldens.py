#!/usr/bin/env python3
"""Format messages by transformers' apply_chat_template, with templates in the shape of each family's: text/chats.json."""
import json
from pathlib import Path

from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast

HERE = Path(__file__).resolve().parent / "text"
CHATML_TURN = "{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}"
ASK = "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
HEADER = "'<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n' + message['content'] | trim + '<|eot_id|>'"
LLAMA_3_ASK = "{%- if add_generation_prompt %}{{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{%- endif %}"
TEMPLATES = {
    "chatml": "{% for message in messages %}" + CHATML_TURN + "{% endfor %}" + ASK,
    # A system message of its own, in a template that knows tools as well; an apostrophe outside of the code.
    "qwen2.5": "{%- if tools %}{{- '<|im_start|>system\\n' }}{{- \"You're a caller of tools.\" }}{%- else %}"
               "{%- if messages[0]['role'] == 'system' %}{{- '<|im_start|>system\\n' + messages[0]['content'] + '<|im_end|>\\n' }}"
               "{%- else %}{{- '<|im_start|>system\\nYou are a helpful assistant.<|im_end|>\\n' }}{%- endif %}{%- endif %}"
               "{#- it's 'quoted -#}{%- for message in messages %}{%- if message.role == 'user' %}{{- '<|im_start|>' + message.role"
               " + '\\n' + message.content + '<|im_end|>' + '\\n' }}{%- elif message.role == 'tool' %}{{- '<|im_start|>user' }}"
               "{%- endif %}{%- endfor %}" + ASK,
    "smollm2": "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}{{ '<|im_start|>system\\nYou"
               " are small.<|im_end|>\\n' }}{% endif %}" + CHATML_TURN + "{% endfor %}" + ASK,
    "qwen3_thinking": "{%- for message in messages %}" + CHATML_TURN + "{%- endfor %}"
                      "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n<think>\\n' }}{%- endif %}",
    "llama2": "{% if messages[0]['role'] == 'system' %}{% set loop_messages = messages[1:] %}{% set system_message = "
              "messages[0]['content'] %}{% else %}{% set loop_messages = messages %}{% set system_message = false %}{% endif %}"
              "{% for message in loop_messages %}{% if loop.index0 == 0 and system_message != false %}{% set content = '<<SYS>>\\n'"
              " + system_message + '\\n<</SYS>>\\n\\n' + message['content'] %}{% else %}{% set content = message['content'] %}"
              "{% endif %}{{ bos_token + '[INST] ' + content.strip() + ' [/INST]' }}{% endfor %}",
    "llama3": "{% for message in messages %}{% set content = " + HEADER + " %}{% if loop.index0 == 0 %}{% set content = bos_token"
              " + content %}{% endif %}{{ content }}{% endfor %}" + LLAMA_3_ASK,
    "llama3.1": "{{- bos_token }}{%- if not date_string is defined %}{%- set date_string = \"26 Jul 2024\" %}{%- endif %}"
                "{%- if messages[0]['role'] == 'system' %}{%- set system_message = messages[0]['content'] | trim %}{%- set messages"
                " = messages[1:] %}{%- else %}{%- set system_message = \"\" %}{%- endif %}"
                "{{- \"<|start_header_id|>system<|end_header_id|>\\n\\n\" }}{{- \"Cutting Knowledge Date: December 2023\\n\" }}"
                "{{- \"Today Date: \" + date_string + \"\\n\\n\" }}{{- system_message }}{{- \"<|eot_id|>\" }}"
                "{%- for message in messages %}{{- " + HEADER + " }}{%- endfor %}" + LLAMA_3_ASK,
    "mistral_v1": "{{ bos_token }}{% for message in messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}"
                  "{{ raise_exception('Roles must alternate') }}{% endif %}{{ '[INST] ' + message['content'] + ' [/INST]' }}"
                  "{% endfor %}",
    "mistral_v3": "{%- if messages[0][\"role\"] == \"system\" %}{%- set system_message = messages[0][\"content\"] %}{%- set"
                  " loop_messages = messages[1:] %}{%- else %}{%- set loop_messages = messages %}{%- endif %}{{- bos_token }}"
                  "{%- for message in loop_messages %}{%- if loop.last and system_message is defined %}{{- \"[INST] \" +"
                  " system_message + \"\\n\\n\" + message[\"content\"] + \"[/INST]\" }}{%- else %}{{- \"[INST] \" +"
                  " message[\"content\"] + \"[/INST]\" }}{%- endif %}{%- endfor %}",
}
MESSAGES = [("Who are you?", None), ("Who are you?", "Be brief."), ("  two lines,\n it's\u3000 ", " \tCaf\u00e9\n"), ("", None)]


def chats():
    for name, template in TEMPLATES.items():
        t = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.BPE()), bos_token="<s>", chat_template=template)
        rows = []
        for user, system in MESSAGES:
            messages = ([{"role": "system", "content": system}] if system is not None else []) + [
                {"role": "user", "content": user}]
            try:
                text = t.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
            except Exception as e:  # templates refuse by an exception of their own
                assert "alternate" in str(e), e
                text = None
            rows.append({"user": user, "system": system, "text": text})
        yield {"name": name, "template": template, "chats": rows}


if __name__ == "__main__":
    (HERE / "chats.json").write_text("[\n" + ",\n".join(json.dumps(c) for c in chats()) + "\n]\n")

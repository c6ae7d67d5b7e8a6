"""Chat templates known by name: how a conversation is printed, and how it is read back."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rl.core.errors import NotRegisteredError, nearest

__all__ = [
    "CHATML",
    "ChatTemplate",
    "Message",
    "add_chat_template",
    "get_chat_template",
    "parse_chatml",
]

#: One message: `role`, `content`, and `is_complete` when it was read from text.
Message = dict[str, Any]

CHATML = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\n' }}"
    "{% if message['role'] == 'assistant' %}"
    "{% generation %}{{ message['content'] + '<|im_end|>' }}{% endgeneration %}"
    "{% else %}{{ message['content'] + '<|im_end|>' }}{% endif %}"
    "{{ '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)

_TURN = re.compile(
    r"<\|im_start\|>([^\n]*)\n(.*?)(<\|im_end\|>\n?|(?=<\|im_start\|>)|\Z)", re.DOTALL
)


def parse_chatml(text: str) -> list[Message]:
    r"""Read the messages of a ChatML text; a turn without `<|im_end|>` is incomplete.

    Raises:
        ValueError: the text does not begin with `<|im_start|>`, or there is text between turns.

    Example:
        >>> parse_chatml("<|im_start|>user\nhi<|im_end|>\n")
        [{'role': 'user', 'content': 'hi', 'is_complete': True}]
    """
    messages, end = [], 0
    for turn in _TURN.finditer(text):
        if turn.start() != end:
            break
        complete = turn.group(3) != ""
        messages.append({"role": turn[1], "content": turn[2], "is_complete": complete})
        end = turn.end()
    if end != len(text):
        raise ValueError(
            f"ChatML text is not readable from character {end}: {text[end : end + 30]!r}. Each "
            "turn is `<|im_start|>role\\ncontent<|im_end|>\\n`. Pass the template's own name as "
            "`chat_template_name`."
        )
    return messages


@dataclass(frozen=True)
class ChatTemplate:
    """A Jinja template and the function that reads its text back."""

    template: str
    inverse_parser: Callable[[str], list[Message]] | None = None
    model_family_keywords: tuple[str, ...] = ()


_TEMPLATES: dict[str, ChatTemplate] = {
    "chatml_format": ChatTemplate(CHATML, parse_chatml),
    "qwen": ChatTemplate(CHATML, parse_chatml, ("qwen",)),
}


def add_chat_template(
    template_name: str,
    template: str,
    inverse_parser: Callable[[str], list[Message]] | None = None,
    model_family_keywords: list[str] | None = None,
) -> None:
    """Register a chat template under a name.

    Args:
        template_name: what `chat_template_name=` takes.
        template: Jinja source; assistant text between `{% generation %}` and `{% endgeneration %}`.
        inverse_parser: text → list of messages, which `History.from_text` calls.
        model_family_keywords: parts of tokenizer names that the template belongs to.

    Example:
        >>> add_chat_template("shout", "{% for m in messages %}{{ m['content'] }}!{% endfor %}")
        >>> get_chat_template("shout").inverse_parser is None
        True
    """
    _TEMPLATES[template_name] = ChatTemplate(
        template, inverse_parser, tuple(model_family_keywords or ())
    )


def get_chat_template(template_name: str) -> ChatTemplate:
    """Return the template registered under `template_name`.

    Raises:
        NotRegisteredError: no such template.
    """
    if template_name not in _TEMPLATES:
        raise NotRegisteredError(
            f"Chat template `{template_name}` is not registered. "
            f"{nearest(template_name, _TEMPLATES)} Register it with `add_chat_template`."
        )
    return _TEMPLATES[template_name]

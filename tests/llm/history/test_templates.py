import pytest

from rl.core.errors import NotRegisteredError
from rl.llm.history.templates import add_chat_template, get_chat_template, parse_chatml


def test_turns_are_read_in_order_and_the_open_one_is_incomplete():
    text = "<|im_start|>user\n1\n2<|im_end|>\n<|im_start|>assistant\nthr"
    assert parse_chatml(text) == [
        {"role": "user", "content": "1\n2", "is_complete": True},
        {"role": "assistant", "content": "thr", "is_complete": False},
    ]


@pytest.mark.parametrize("text", ["hello", "<|im_start|>user\nhi<|im_end|>\nbye", "<|im_start|>x"])
def test_text_of_another_template_is_refused(text):
    with pytest.raises(ValueError, match="`chat_template_name`"):
        parse_chatml(text)


def test_the_nearest_template_is_suggested():
    with pytest.raises(NotRegisteredError, match="Did you mean `chatml_format`"):
        get_chat_template("chatml_fromat")


def test_a_template_is_found_under_the_name_it_was_registered_with():
    def parser(text):
        return []

    add_chat_template("of-a-test", "{{ 1 }}", parser, ["testing"])
    template = get_chat_template("of-a-test")
    assert (template.template, template.inverse_parser) == ("{{ 1 }}", parser)
    assert template.model_family_keywords == ("testing",)

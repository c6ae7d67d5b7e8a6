import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tensordict import TensorDict

from rl.core.errors import NotRegisteredError, ShapeError
from rl.llm import ChatHistory, History, add_chat_template
from rl.llm.testing import tiny_tokenizer

TOKENIZER = tiny_tokenizer()
CONTENT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="<|>\r"))
MESSAGE = st.fixed_dictionaries(
    {"role": st.sampled_from(["user", "assistant"]), "content": CONTENT}
)


def turn(role, content):
    return {"role": role, "content": content}


def test_conversations_of_one_length_make_a_batch():
    chats = [[turn("user", "a"), turn("assistant", "b")], [turn("user", "c"), turn("user", "d")]]
    history = History.from_chats(chats)
    assert history.shape == (2, 2)
    assert history.content == [["a", "b"], ["c", "d"]]
    assert history[1].role == ["user", "user"]
    assert history[..., -1].content == ["b", "d"]


def test_conversations_may_differ_in_length():
    history = History.from_chats([[turn("user", "a")], [turn("user", "b"), turn("user", "c")]])
    assert history.shape == (2, -1)
    assert history[1].content == ["b", "c"]


def test_chats_come_back():
    chats = [[{**turn("user", "a"), "is_complete": False, "tool_calls": ["f()"]}]]
    assert History.from_chats(chats).to_chats() == chats


def test_an_empty_conversation_is_refused():
    with pytest.raises(ShapeError, match="give at least one"):
        History.from_chats([])


@settings(max_examples=40, deadline=None)
@given(st.lists(MESSAGE, min_size=1, max_size=4))
def test_text_round_trips_through_chatml(messages):
    history = History.from_chats(messages)
    text = history.apply_chat_template(TOKENIZER, add_generation_prompt=False)
    read = History.from_text(text)
    assert read.role == history.role
    assert read.content == history.content
    assert all(read.is_complete)


def test_a_batch_of_texts_is_read():
    texts = [f"<|im_start|>user\n{word}<|im_end|>\n" for word in ("a", "b")]
    assert History.from_text(texts).content == [["a"], ["b"]]


def test_a_template_without_parser_cannot_be_read_back():
    add_chat_template("no-parser", "{{ messages }}")
    with pytest.raises(NotRegisteredError, match="inverse_parser"):
        History.from_text("x", chat_template_name="no-parser")


def test_append_grows_in_place_or_in_a_copy():
    history = History.from_chats([turn("user", "a")])
    message = History(role="assistant", content="b")
    longer = history.append(message, inplace=False)
    assert (history.content, longer.content) == (["a"], ["a", "b"])
    history.append(message)
    assert history.content == ["a", "b"]


def test_append_gives_each_conversation_its_own_message():
    history = History.from_chats([[turn("user", "a")], [turn("user", "b")]])
    answers = History.from_chats([turn("assistant", "x"), turn("assistant", "y")])
    history.append(answers)
    assert history.content == [["a", "x"], ["b", "y"]]
    history.append(History(role="user", content="z"))
    assert history.content == [["a", "x", "z"], ["b", "y", "z"]]


def test_append_inside_a_tensordict_reaches_it():
    history = History.from_chats([[turn("user", "a")]])
    td = TensorDict({"history": history}, batch_size=[1])
    td["history"].append(History(role="user", content="b"))
    assert td["history"].content == [["a", "b"]]


def test_extend_adds_turns():
    history = History.from_chats([[turn("user", "a")]])
    more = History.from_chats([[turn("assistant", "b"), turn("user", "c")]])
    assert history.extend(more, inplace=False).content == [["a", "b", "c"]]
    assert history.shape == (1, 1)


@pytest.mark.parametrize(
    ("history", "added", "fix"),
    [
        (History(role="user", content="a"), History(role="user", content="b"), "unsqueeze"),
        (
            History.from_chats([[turn("user", "a")]]),
            History.from_chats([[turn("user", "b")], [turn("user", "c")]]),
            "one row of turns",
        ),
        (
            torch.stack([History(role="user", content="a")]),
            History.from_chats([turn("user", "b")]),
            "inplace=False",
        ),
    ],
)
def test_what_cannot_grow_says_why(history, added, fix):
    with pytest.raises(ShapeError, match=fix):
        history.extend(added)


def test_tokens_are_padded_on_the_side_asked_for():
    history = History.from_chats(
        [[turn("user", "a"), turn("assistant", "b")], [turn("user", "cc"), turn("assistant", "d")]]
    )
    options = {"tokenize": True, "add_generation_prompt": False}
    right = history.apply_chat_template(TOKENIZER, **options)
    left = history.apply_chat_template(TOKENIZER, padding_side="left", **options)
    assert right["attention_mask"][0].tolist() == [True] * (right["input_ids"].shape[1] - 1) + [
        False
    ]
    assert left["attention_mask"][0].tolist() == right["attention_mask"][0].tolist()[::-1]
    for batch in (left, right):
        row = batch["input_ids"][0][batch["assistant_masks"][0]]
        assert TOKENIZER.decode(row) == "b<|im_end|>"
    one = history[0].apply_chat_template(TOKENIZER, **options)
    assert torch.equal(one["input_ids"], right["input_ids"][0, :-1])


def test_a_named_template_is_used():
    add_chat_template("loud", "{% for m in messages %}{{ m['content'] }}!{% endfor %}")
    history = History.from_chats([[turn("user", "a"), turn("user", "b")]])
    assert history.apply_chat_template(TOKENIZER, chat_template_name="loud") == ["a!b!"]


def test_more_than_two_dimensions_are_refused():
    history = torch.stack([History.from_chats([[turn("user", "a")]])])
    with pytest.raises(ShapeError, match="flatten the batch"):
        history.apply_chat_template(TOKENIZER)


def test_the_default_spec_names_the_fields():
    spec = History.default_spec(shape=(3,))
    assert spec.shape == (3,)
    assert {"role", "content"} <= set(spec.keys())
    assert spec.is_in(History.from_chats([turn("user", str(i)) for i in range(3)]).to_tensordict())


def test_a_chat_history_is_indexed_as_its_parts():
    prompt = History.from_chats([[turn("user", "a")], [turn("user", "b")]])
    chat = ChatHistory(prompt=prompt, batch_size=[2])
    assert chat[1].prompt.content == ["b"]
    assert chat.response is None

import pytest
import torch
from tensordict import TensorDict

transformers = pytest.importorskip("transformers")

from rl.llm import History, TransformersWrapper  # noqa: E402
from rl.llm.testing import tiny_model, tiny_tokenizer  # noqa: E402


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    """Operations as small as these are slower with more threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def tokenizer():
    return tiny_tokenizer()


@pytest.fixture(scope="session")
def model(tokenizer):
    return tiny_model(tokenizer)


@pytest.fixture
def make_policy(tokenizer, model):
    """Build a policy of the tiny model; keyword arguments override the defaults."""

    def make(**kwargs):
        options = {"tokenizer": tokenizer, "generate_kwargs": {"max_new_tokens": 6}}
        return TransformersWrapper(kwargs.pop("model", model), **{**options, **kwargs})

    return make


@pytest.fixture
def chats():
    """Two conversations of different lengths in tokens, as input of a policy."""
    prompts = History.from_chats(
        [[{"role": "user", "content": text}] for text in ("hi", "how are you?")]
    )
    return TensorDict({"history": {"prompt": prompts}}, batch_size=[2])


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)

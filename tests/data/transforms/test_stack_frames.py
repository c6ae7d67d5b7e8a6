import threading

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tensordict import TensorDict

from rl.core import MissingKeyError, RLError, ShapeError, SpecError
from rl.data import (
    LazyMemmapStorage,
    LazyTensorStorage,
    MultiStepTransform,
    ReplayBuffer,
    StackFrames,
    TensorDictReplayBuffer,
)
from rl.data.testing import check_buffer

KEYS = ["pixels", ("next", "pixels")]


def play(done, n, padding="same", value=0, envs=1, start=0):
    """Return `[B, T]` steps with the stacks that an env makes: lists of the last n frames."""
    rows = []
    for env in range(envs):
        frame = start + 1000 * env
        stack, steps = None, []
        for end in done:
            if stack is None:
                first = frame if padding == "same" else value
                stack = [first] * (n - 1) + [frame]
            frame += 1
            following = [*stack[1:], frame]
            steps.append((stack, following, end))
            stack = None if end else following
            frame += 1 if end else 0
        rows.append(steps)
    root, following, ends = (torch.tensor([[s[i] for s in r] for r in rows]) for i in range(3))
    data = {"pixels": root.unsqueeze(-2), "next": {"pixels": following.unsqueeze(-2)}}
    data = TensorDict(data, [envs, len(done)])
    data["next", "done"] = ends.bool().unsqueeze(-1)
    return data


def buffer(size, n=3, ndim=1, storage=LazyTensorStorage, **kwargs):
    return TensorDictReplayBuffer(
        storage=storage(size, ndim=ndim),
        transform=StackFrames(n, -1, KEYS, **kwargs),
        batch_size=16,
    )


def test_by_hand():
    """An episode of the frames 0 to 3, then one that starts with frame 4."""
    rb = buffer(9)
    rb.extend(play([0, 0, 1, 0], 3)[0])
    assert rb.storage[:]["pixels"].flatten().tolist() == [0, 1, 2, 4]
    assert rb.storage[:]["next", "pixels"].flatten().tolist() == [1, 2, 3, 5]
    assert rb[:]["pixels"].squeeze(1).tolist() == [[0, 0, 0], [0, 0, 1], [0, 1, 2], [4, 4, 4]]
    following = rb[:]["next", "pixels"].squeeze(1).tolist()
    assert following == [[0, 0, 1], [0, 1, 2], [1, 2, 3], [4, 4, 5]]


@settings(deadline=None)
@given(
    st.lists(st.integers(0, 4).map(lambda k: k == 0), min_size=1, max_size=40),
    st.integers(1, 5),
    st.sampled_from(["same", "constant"]),
    st.integers(1, 7),
    st.integers(1, 2),
)
def test_stacks_equal_those_of_the_env_after_wrap_around_too(done, n, padding, chunk, envs):
    data = play(done, n, padding, -7, envs)
    ndim = 1 if envs == 1 else 2
    rb = buffer(7 * envs, n, ndim, padding=padding, padding_value=-7)
    played = data[0] if envs == 1 else data
    for start in range(0, len(done), chunk):
        rb.extend(played[..., start : start + chunk])
        if n > 1:
            assert rb.storage[:]["pixels"].shape[-1] == 1, "a stack is stored"
        batch = rb.sample()
        # the newest frame tells the step
        newest = data["pixels"][..., 0, -1].flatten()
        place = [int((newest == frame).nonzero()) for frame in batch["pixels"][:, 0, -1]]
        flat = data.reshape(-1)[torch.tensor(place)]
        assert torch.equal(batch["pixels"], flat["pixels"])
        assert torch.equal(batch["next", "pixels"], flat["next", "pixels"])
        if ndim == 1:
            kept = data[0, max(0, min(start + chunk, len(done)) - 7) : start + chunk]
            order = rb[:]["pixels"][:, 0, -1].argsort()
            assert torch.equal(rb[:]["pixels"][order], kept["pixels"])


def test_single_rows():
    data, rb = play([0, 0, 0, 1, 0, 0], 3)[0], buffer(3)
    for row in data:
        rb.add(row)
    assert torch.equal(rb[:]["pixels"], data["pixels"][3:])


def test_stacks_under_another_name():
    data = play([0, 0, 0], 2)[0]
    data["stack"] = data["pixels"]
    data["pixels"] = data["pixels"][..., -1:]
    rb = TensorDictReplayBuffer(
        storage=LazyTensorStorage(5), transform=StackFrames(2, -1, ["pixels"], ["stack"])
    )
    rb.extend(data)
    assert "stack" not in rb.storage[:]
    assert torch.equal(rb[:]["stack"], data["stack"])
    # the single frames may come from the stacks
    rb.extend(data.exclude("pixels"))
    assert rb.storage[:]["pixels"].flatten().tolist() == [2, 1, 2, 0, 1]


def test_dtype_and_channels():
    """Two channels of bytes per frame."""
    frames = torch.arange(24, dtype=torch.uint8).view(3, 2, 2, 2)
    done = torch.zeros(3, 1, dtype=torch.bool)
    rb = TensorDictReplayBuffer(
        storage=LazyTensorStorage(5),
        transform=StackFrames(2, -3, ["x"], padding="constant", padding_value=255.0),
    )
    stack = torch.cat([torch.full_like(frames, 255), frames], 1)
    stack[1:, :2] = frames[:-1]
    rb.extend(TensorDict({"x": stack, "next": {"done": done}}, [3]))
    assert rb[:]["x"].dtype is torch.uint8
    assert torch.equal(rb[:]["x"], stack)


@pytest.mark.parametrize("storage", [LazyTensorStorage, LazyMemmapStorage])
@pytest.mark.parametrize("ndim", [1, 2])
def test_a_saved_buffer_goes_on(storage, ndim):
    """With the frames that were overwritten; prefetching changes nothing."""
    start = iter(range(0, 10_000, 100))

    def rows(n):
        data = play((torch.rand(n) < 0.2).tolist(), 3, envs=2, start=next(start))
        return data if ndim == 2 else data[0]

    check_buffer(
        lambda generator, prefetch: TensorDictReplayBuffer(
            storage=storage(8 * ndim, ndim=ndim),
            transform=StackFrames(3, -1, KEYS),
            batch_size=4,
            generator=generator,
            prefetch=prefetch,
        ),
        rows,
    )


def test_a_rejected_batch_changes_no_stack():
    data, rb = play([0] * 9, 4)[0], buffer(4, 4)
    rb.extend(data[:4])
    rb.extend(data[4:6])
    with pytest.raises(SpecError, match="`extra`"):
        rb.extend(data[6:8].set("extra", torch.zeros(2)))
    assert torch.equal(rb[:]["pixels"][[2, 3, 0, 1]], data["pixels"][2:6])
    rb.empty()
    rb.extend(data[:1])
    assert torch.equal(rb[:]["pixels"], data["pixels"][:1])


def test_rows_of_several_envs_that_do_not_follow_each_other_raise():
    """Two halves of the episodes of two envs, flattened: env 0, env 1, env 0, env 1."""
    data = play([0] * 6, 3, envs=2)
    data["is_init"] = torch.zeros(2, 6, 1, dtype=torch.bool)
    data["is_init"][:, 0] = True
    data["collector", "traj_ids"] = torch.tensor([[0], [1]]).expand(2, 6).clone()
    rb = buffer(40)
    rb.extend(data[:, :3].reshape(-1))
    assert torch.equal(rb[:]["pixels"], data["pixels"][:, :3].reshape(-1, 1, 3))
    rb.extend(data[:, 3:].reshape(-1))
    with pytest.raises(RLError, match="`ndim=2`"):
        rb[:]
    rb = buffer(8, ndim=2)
    for start in range(0, 6, 2):
        rb.extend(data[:, start : start + 2])
    assert torch.equal(rb[:]["pixels"][:, [2, 3, 0, 1]], data["pixels"][:, 2:])


def test_sampling_while_another_thread_writes():
    data, rb = play([0] * 900, 3)[0], buffer(7)
    rb.extend(data[:3])

    def write():
        for start in range(3, 900, 3):
            rb.extend(data[start : start + 3])

    writer = threading.Thread(target=write)
    writer.start()
    while writer.is_alive():
        stack = rb.sample()["pixels"][:, 0]
        wanted = stack[:, -1:] + torch.tensor([-2, -1, 0])
        assert torch.equal(stack, wanted.clamp(min=0))
    writer.join()


def test_bad_input():
    for wrong, fix in (((0, -1), "at least one"), ((2, 0), "negative"), ((2, -1), "constant")):
        with pytest.raises(SpecError, match=fix):
            StackFrames(*wrong, padding="zero")
    data = play([0, 0], 3)[0]
    with pytest.raises(RLError, match="belongs to none"):
        StackFrames(3, -1)(data)
    rb = ReplayBuffer(storage=LazyTensorStorage(5), transform=StackFrames(3, -1), batch_size=2)
    rb.extend(data)
    with pytest.raises(MissingKeyError, match="use a `TensorDictReplayBuffer`"):
        rb.sample()
    with pytest.raises(ShapeError, match="name the single frames with `in_keys`"):
        buffer(5, 2).extend(data)
    rb = buffer(5)
    rb.extend(data.exclude(("next", "pixels")))
    with pytest.raises(MissingKeyError, match="reads `\\('next', 'pixels'\\)`"):
        rb.sample()
    rb = buffer(5).append_transform(MultiStepTransform(2, 0.9))
    rb.extend(data.set(("next", "reward"), torch.ones(2, 1)))
    with pytest.raises(RLError, match="stack root entries only"):
        rb.sample()
    with pytest.raises(RLError, match="`CatFrames` of rl-envs"):
        StackFrames(2, -1).transform_output_spec(None)

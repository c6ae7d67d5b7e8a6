import torch

from rl.envs.transforms.lazy_buffers import LazyBuffers, buffer_name


class Keeper(LazyBuffers):
    """Keeps one tensor, and notes when it changed."""

    def __init__(self):
        super().__init__()
        self.changes = 0

    def _owns_buffer(self, name):
        return name == buffer_name(("a", "x"), "kept")

    def _buffers_changed(self):
        self.changes += 1


def test_a_fresh_transform_takes_the_state():
    first, second = Keeper(), Keeper()
    first._put_buffer("a-x_kept", torch.ones(3))
    second.load_state_dict(first.state_dict())
    assert torch.equal(second.get_buffer("a-x_kept"), torch.ones(3))
    assert second.changes == 1
    first._put_buffer("a-x_kept", torch.zeros(5))
    second.load_state_dict(first.state_dict())
    assert second.get_buffer("a-x_kept").shape == (5,)


def test_a_load_keeps_the_storage_of_a_known_buffer():
    first, second = Keeper(), Keeper()
    for keeper, value in ((first, 1.0), (second, 2.0)):
        keeper._put_buffer("a-x_kept", torch.full((2,), value))
    kept = second.get_buffer("a-x_kept")
    second.load_state_dict(first.state_dict())
    assert kept.tolist() == [1, 1]


def test_a_move_is_noticed():
    keeper = Keeper()
    keeper._put_buffer("a-x_kept", torch.ones(1))
    assert keeper.double().get_buffer("a-x_kept").dtype == torch.float64
    assert keeper.changes == 1

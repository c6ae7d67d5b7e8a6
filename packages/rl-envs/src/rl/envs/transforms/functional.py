"""Pure functions behind transforms: grey-scale, and frame stacking of stored trajectories."""

from __future__ import annotations

import torch
from torch import Tensor

from rl.core.errors import ShapeError
from rl.envs.transforms.segments import segment_ends, segment_starts

__all__ = ["cat_frames", "rgb_to_grayscale", "window_index"]

#: luma weights of red, green and blue, ITU-R BT.601-7, section 2.5.1
LUMA = (0.299, 0.587, 0.114)


def rgb_to_grayscale(data: Tensor) -> Tensor:
    """Return the luma of RGB images by the weights of ITU-R BT.601.

    Args:
        data: `[*B, 3, H, W]`, floating-point or integer.

    Returns:
        `[*B, 1, H, W]` of the same dtype; integers are rounded to the nearest.

    Raises:
        ShapeError: dimension -3 does not have size 3.

    Example:
        >>> rgb_to_grayscale(torch.tensor([1.0, 0.0, 0.0]).view(3, 1, 1)).item()
        0.29899999499320984
    """
    if data.ndim < 3 or data.shape[-3] != 3:
        raise ShapeError(
            f"The image has shape {list(data.shape)}, expected [*B, 3, H, W]: put the channels "
            "first with `ToTensorImage` or `PermuteTransform`."
        )
    exact = data if data.is_floating_point() else data.to(torch.get_default_dtype())
    red, green, blue = exact.unbind(-3)
    luma = torch.addcmul(red * LUMA[0], green, torch.full_like(green, LUMA[1]))
    luma = luma.add_(blue, alpha=LUMA[2]).unsqueeze(-3)
    return luma if data.is_floating_point() else luma.round_().to(data.dtype)


def cat_frames(
    data: Tensor,
    N: int,  # noqa: N803 (the name that TorchRL users pass)
    dim: int,
    *,
    done: Tensor | None = None,
    time_dim: int = 0,
    padding: str = "same",
    padding_value: float = 0.0,
    future: bool = False,
) -> Tensor:
    """Return the last `N` frames of each step of stored trajectories, concatenated along `dim`.

    Args:
        data: `[*B, T, *F]`, contiguous in time.
        N: number of frames.
        dim: negative; the feature dimension along which frames are joined, oldest first.
        done: `[*B, T]` or `[*B, T, 1]` bool, true at the last step of a trajectory; one trajectory
            if None.
        time_dim: index of T.
        padding: what stands for frames before the trajectory: `"same"` repeats its first frame,
            `"constant"` gives `padding_value`.
        padding_value: see `padding`.
        future: give the next `N` frames, this one first, instead of the last ones.

    Raises:
        ValueError: `padding` is neither of the two.

    Example:
        >>> cat_frames(torch.tensor([[1.0], [2.0], [3.0]]), N=2, dim=-1)
        tensor([[1., 1.],
                [1., 2.],
                [2., 3.]])
    """
    if padding not in ("same", "constant"):
        raise ShapeError(f'`padding` is {padding!r}: give "same" or "constant".')
    batch = data.shape[: time_dim + 1]
    if done is None:
        done = torch.zeros(batch, dtype=torch.bool, device=data.device)
    done = done.reshape(batch)
    frames = []
    for index, inside in window_index(done, N, time_dim, future=future):
        shape = (*batch, *[1] * (data.ndim - len(batch)))
        frame = data.gather(time_dim, index.view(shape).expand_as(data))
        if padding == "constant":
            frame = torch.where(inside.view(shape), frame, padding_value)
        frames.append(frame)
    return torch.cat(frames, dim)


def window_index(
    done: Tensor,
    N: int,  # noqa: N803
    time_dim: int,
    *,
    future: bool = False,
) -> list[tuple[Tensor, Tensor]]:
    """Return, for each frame of a window, its time index and whether it is a real frame.

    A frame outside of the trajectory has the index of the trajectory's end on that side.

    Args:
        done: `[*B, T]` bool, true at the last step of a trajectory.
        N: number of frames.
        time_dim: index of T.
        future: windows run forwards from each step rather than up to it.
    """
    shape = [1] * done.ndim
    shape[time_dim] = done.shape[time_dim]
    now = torch.arange(done.shape[time_dim], device=done.device).view(shape).expand_as(done)
    if future:
        limit = segment_ends(done, time_dim)
        indices = [now + offset for offset in range(N)]
        return [(torch.minimum(index, limit), index <= limit) for index in indices]
    limit = segment_starts(done, time_dim)
    indices = [now - offset for offset in reversed(range(N))]
    return [(torch.maximum(index, limit), index >= limit) for index in indices]

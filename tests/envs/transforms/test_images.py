import pytest
import torch
from tensordict import TensorDict

from rl.core import Bounded, Composite, MissingKeyError, ShapeError, SpecError, Unbounded
from rl.envs.transformed import TransformedEnv
from rl.envs.transforms import CenterCrop, Crop, GrayScale, Resize, ToTensorImage


def _apply(transform, pixels):
    return transform(TensorDict({"pixels": pixels}))["pixels"]


def test_to_tensor_image():
    image = torch.arange(8 * 6 * 3).remainder(256).view(8, 6, 3).to(torch.uint8)
    result = _apply(ToTensorImage(), image)
    assert result.shape == (3, 8, 6)
    assert result.is_contiguous()
    torch.testing.assert_close(result[1, 2, 3], image[2, 3, 1] / 255)
    assert _apply(ToTensorImage(unsqueeze=True, dtype=torch.float64), image).shape == (1, 3, 8, 6)
    assert _apply(ToTensorImage(from_int=False), image).max() > 1
    assert _apply(ToTensorImage(), image / 255.0).max() <= 1
    assert _apply(ToTensorImage(from_int=True), torch.full((4, 4, 3), 255.0)).max() == 1


def test_to_tensor_image_tolerates_channels_in_front():
    front = torch.zeros(3, 8, 6, dtype=torch.uint8)
    assert _apply(ToTensorImage(shape_tolerant=True), front).shape == (3, 8, 6)
    assert _apply(ToTensorImage(shape_tolerant=True), front.permute(1, 2, 0)).shape == (3, 8, 6)


def test_to_tensor_image_specs():
    spec = Composite(pixels=Bounded(0, 255, (8, 6, 3), dtype=torch.uint8))
    leaf = ToTensorImage().transform_observation_spec(spec)["pixels"]
    assert (leaf.space.low.max().item(), leaf.space.high.min().item()) == (0, 1)
    leaf = ToTensorImage()._transform_spec(Unbounded((8, 6, 3), dtype=torch.uint8))
    assert leaf.space.high.max() == 1


def test_resize():
    ramp = torch.arange(4.0).view(1, 1, 4).expand(1, 4, 4)
    assert _apply(Resize(2, interpolation="area"), ramp)[0, 0].tolist() == [0.5, 2.5]
    assert _apply(Resize(w=8, h=2), ramp).shape == (1, 2, 8)
    assert _apply(Resize(4), ramp) is ramp
    white = torch.full((2, 5, 3, 4, 4), 255, dtype=torch.uint8)
    for mode in ("bilinear", "bicubic", "nearest", "nearest-exact", "area"):
        result = _apply(Resize(3, interpolation=mode), white)
        assert result.shape == (2, 5, 3, 3, 3)
        assert (result == 255).all()


def test_crops():
    image = torch.arange(16.0).view(1, 4, 4)
    assert _apply(CenterCrop(2), image).flatten().tolist() == [5, 6, 9, 10]
    assert _apply(Crop(w=2, h=1, top=3, left=1), image).flatten().tolist() == [13, 14]
    assert _apply(Crop(2), image).flatten().tolist() == [0, 1, 4, 5]


def test_gray_scale():
    result = _apply(GrayScale(), torch.ones(2, 3, 4, 4))
    assert result.shape == (2, 1, 4, 4)
    torch.testing.assert_close(result, torch.ones(2, 1, 4, 4))


def test_bad_input(counting):
    with pytest.raises(SpecError, match="at least 1 pixel"):
        Resize(0)
    with pytest.raises(SpecError, match="Did you mean `bilinear`"):
        Resize(2, interpolation="bilinera")
    with pytest.raises(SpecError, match="at least 1 pixel"):
        Crop(2, 0)
    with pytest.raises(SpecError, match="offsets of 0 or more"):
        Crop(2, top=-1)
    with pytest.raises(ShapeError, match="make it smaller"):
        _apply(CenterCrop(9), torch.zeros(3, 4, 4))
    with pytest.raises(ShapeError, match="put the channels first"):
        _apply(GrayScale(), torch.zeros(4, 4, 3))
    with pytest.raises(ShapeError, match=r"name them in `in_keys`"):
        _apply(ToTensorImage(), torch.zeros(4))
    with pytest.raises(ShapeError, match="`ToTensorImage` before `Resize`"):
        _apply(Resize(2), torch.zeros(4, 4))
    with pytest.raises(MissingKeyError, match="Did you mean `pixels`"):
        TransformedEnv(counting(), ToTensorImage(in_keys=["pixel"]))

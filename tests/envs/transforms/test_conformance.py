"""Every transform passes the conformance kit, over batch sizes and key nestings."""

import pytest
import torch

from rl.core import Bounded, Compose, Transform, Unbounded
from rl.core.testing.transforms import check_transform
from rl.envs import transforms
from rl.envs.transforms import (
    ActionMask,
    BinarizeReward,
    CatFrames,
    CatTensors,
    CenterCrop,
    ClipTransform,
    Crop,
    DeviceCastTransform,
    DoubleToFloat,
    DTypeCastTransform,
    EndOfLifeTransform,
    ExcludeTransform,
    FiniteTensorDictCheck,
    FlattenObservation,
    FrameSkipTransform,
    GrayScale,
    InitTracker,
    NoopResetEnv,
    ObservationNorm,
    ObservationTransform,
    PermuteTransform,
    RenameTransform,
    Resize,
    RewardClipping,
    RewardScaling,
    RewardSum,
    SelectTransform,
    SignTransform,
    SqueezeTransform,
    Stack,
    StepCounter,
    TargetReturn,
    TensorDictPrimer,
    ToTensorImage,
    UnaryTransform,
    UnsqueezeTransform,
    VecNorm,
    VecNormV2,
)

BATCHES = [(), (3,), (3, 2)]

#: on the env whose keys are at the root
FLAT = {
    "observation_norm": lambda: ObservationNorm(loc=0.5, scale=2.0),
    "observation_norm_standard": lambda: ObservationNorm(
        loc=0.5, scale=2.0, in_keys=["position"], out_keys=["other"], standard_normal=True
    ),
    "observation_norm_nested": lambda: ObservationNorm(1.0, 2.0, in_keys=[("nested", "value")]),
    "observation_transform": ObservationTransform,
    "vec_norm": VecNorm,
    "vec_norm_nested": lambda: VecNorm(in_keys=[("nested", "value"), "observation"]),
    "vec_norm_v2": lambda: VecNormV2(in_keys=["observation", "reward"]),
    "step_counter": StepCounter,
    "step_counter_max": lambda: StepCounter(max_steps=3),
    "step_counter_names": lambda: StepCounter(3, truncated_key="cut", step_count_key="n"),
    "reward_sum": RewardSum,
    "reward_sum_reward": lambda: RewardSum(reward_spec=True),
    "init_tracker": InitTracker,
    "reward_scaling": lambda: RewardScaling(loc=1.0, scale=2.0),
    "reward_clipping": lambda: RewardClipping(-1, 1),
    "cat_frames": lambda: CatFrames(N=3, dim=-1, in_keys=["observation"]),
    "cat_frames_pixels": lambda: CatFrames(N=2, dim=-3, padding="constant", out_keys=["stack"]),
    "cat_frames_nested": lambda: CatFrames(N=2, dim=-1, in_keys=[("nested", "value"), "position"]),
    "cat_tensors": lambda: CatTensors(["observation", "position"], out_key="vector"),
    "cat_tensors_keep": lambda: CatTensors(
        ["observation", ("nested", "value")], out_key="observation", del_keys=False
    ),
    "stack": lambda: Stack(["position", ("nested", "value")], out_key="both", dim=-2),
    "stack_positive": lambda: Stack(
        ["position", ("nested", "value")], out_key="both", dim=0, allow_positive_dim=True
    ),
    "to_tensor_image": ToTensorImage,
    "to_tensor_image_options": lambda: ToTensorImage(
        unsqueeze=True, dtype=torch.float64, out_keys=["image"]
    ),
    "images": lambda: Compose(
        ToTensorImage(), CenterCrop(4), GrayScale(), Resize(5, 7), CatFrames(2, dim=-3)
    ),
    "resize_bicubic": lambda: Compose(ToTensorImage(), Resize(4, interpolation="bicubic")),
    "crop": lambda: Compose(ToTensorImage(), Crop(w=3, h=2, top=1, left=2)),
    "double_to_float": DoubleToFloat,
    "dtype_cast": lambda: DTypeCastTransform(torch.float32, torch.float64),
    "dtype_cast_keys": lambda: DTypeCastTransform(
        torch.float32, torch.float16, in_keys=["observation"], out_keys=["half"]
    ),
    "device_cast": lambda: DeviceCastTransform("cpu"),
    "rename": lambda: RenameTransform(
        ["observation", "reward"], ["state", "gain"], ["action"], ["control"]
    ),
    "rename_swap": lambda: RenameTransform(
        ["observation", "position"], ["position", "observation"]
    ),
    "rename_copy": lambda: RenameTransform(["nested"], ["again"], create_copy=True),
    "exclude": lambda: ExcludeTransform("pixels", ("nested", "value"), "absent"),
    "select": lambda: SelectTransform("observation", "nested"),
    "noop": lambda: NoopResetEnv(3),
    "frame_skip": lambda: FrameSkipTransform(2),
    "primer": lambda: TensorDictPrimer(hidden=Unbounded((5,)), flag=Bounded(0.0, 1.0, (1,))),
    "primer_default": lambda: TensorDictPrimer(
        hidden=Unbounded((5,)), default_value={"hidden": lambda: torch.full((5,), 2.0)}
    ),
    "unsqueeze": lambda: UnsqueezeTransform(-2, in_keys=["observation", "pixels"]),
    "unsqueeze_positive": lambda: UnsqueezeTransform(
        0, allow_positive_dim=True, in_keys=["observation"], out_keys=["row"]
    ),
    "unsqueeze_inverse": lambda: UnsqueezeTransform(-1, in_keys_inv=["action"]),
    "squeeze": lambda: SqueezeTransform(-1, in_keys=["reward"], out_keys=["scalar"]),
    "permute": lambda: PermuteTransform((-1, -3, -2), in_keys=["pixels"]),
    "flatten": lambda: FlattenObservation(-3, -1),
    "flatten_positive": lambda: FlattenObservation(0, 1, allow_positive_dim=True),
    "sign": lambda: SignTransform(in_keys=["reward", "position", ("nested", "value")]),
    "binarize": BinarizeReward,
    "clip": lambda: ClipTransform(in_keys=["observation", "position"], low=-0.5, high=0.01),
    "clip_one_side": lambda: ClipTransform(in_keys=["observation"], high=1.5),
    "finite": FiniteTensorDictCheck,
    "unary": lambda: UnaryTransform(["observation"], ["more"], fn=lambda x: x + 1),
    "target_return": lambda: TargetReturn(10.0),
    "target_return_constant": lambda: TargetReturn(10.0, mode="constant"),
    "end_of_life": lambda: EndOfLifeTransform(eol_attribute="length"),
    "chain": lambda: Compose(StepCounter(4), RewardSum(), InitTracker(), RewardScaling(0.0, 2.0)),
}

#: on the env whose keys are all nested in a group
NESTED = {
    "observation_norm": lambda: ObservationNorm(loc=0.5, scale=2.0),
    "vec_norm": lambda: VecNorm(in_keys=[("agents", "observation"), ("agents", "reward")]),
    "step_counter": lambda: StepCounter(max_steps=3),
    "reward_sum": RewardSum,
    "init_tracker": InitTracker,
    "reward_scaling": lambda: RewardScaling(loc=1.0, scale=2.0),
    "reward_clipping": lambda: RewardClipping(-1, 1),
    "cat_frames": lambda: CatFrames(N=3, dim=-1, in_keys=[("agents", "observation")]),
    "cat_tensors": lambda: CatTensors([("agents", "observation")], out_key=("agents", "vector")),
    "double_to_float": lambda: DTypeCastTransform(torch.float32, torch.float64),
    "rename": lambda: RenameTransform([("agents", "observation")], [("agents", "state")]),
    "exclude": lambda: ExcludeTransform(("agents", "observation")),
    "select": SelectTransform,
    "target_return": lambda: TargetReturn(
        10.0, in_keys=[("agents", "reward")], out_keys=[("agents", "target_return")]
    ),
    "binarize": BinarizeReward,
}


@pytest.mark.parametrize("batch_size", BATCHES, ids=str)
@pytest.mark.parametrize("name", FLAT)
def test_flat(counting, name, batch_size):
    check_transform(FLAT[name](), counting(batch_size))


@pytest.mark.parametrize("root_done", [False, True])
@pytest.mark.parametrize("batch_size", BATCHES, ids=str)
@pytest.mark.parametrize("name", NESTED)
def test_nested(team, name, batch_size, root_done):
    check_transform(NESTED[name](), team(batch_size, root_done))


@pytest.mark.parametrize("batch_size", BATCHES, ids=str)
def test_action_mask(masked, batch_size):
    check_transform(ActionMask(), masked(batch_size))


def test_every_transform_is_covered():
    tried = {type(make()) for kit in (FLAT, NESTED) for make in kit.values()} | {ActionMask}
    for kit in (FLAT, NESTED):
        for make in kit.values():
            transform = make()
            if isinstance(transform, Compose):
                tried |= {type(link) for link in transform}
    public = {getattr(transforms, name) for name in transforms.__all__}
    assert {cls for cls in public if issubclass(cls, Transform)} <= tried

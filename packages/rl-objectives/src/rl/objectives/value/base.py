"""The base of every value estimator: the values of a batch, and what is done with them."""

from __future__ import annotations

import abc
from dataclasses import dataclass

import torch
from tensordict import NestedKey, TensorDict, TensorDictBase
from tensordict.nn import TensorDictModuleBase, dispatch
from torch import Tensor, nn

from rl.core.contract.keys import in_next, unravel_key
from rl.core.errors import MissingKeyError
from rl.core.modules import set_recurrent_mode
from rl.objectives.keys import renamed_keys
from rl.objectives.stateless import call_with, inputs_of

__all__ = ["StepData", "ValueEstimatorBase", "time_dimension"]


@dataclass(frozen=True)
class StepData:
    """What an estimator reads of a batch besides values; tensors are `[*B, T, *F]`."""

    reward: Tensor
    done: Tensor
    terminated: Tensor
    gamma: float | Tensor
    time_dim: int


def time_dimension(data: TensorDictBase, time_dim: int | None = None) -> int:
    """Return the index of time among the batch dimensions.

    It is `time_dim` where given, else the dimension named `"time"`, else the last.
    """
    if time_dim is not None:
        return time_dim % data.ndim
    if data.ndim == 0:
        raise MissingKeyError(
            "The batch has no dimension, expected `[*B, T]`: time is the last batch dimension."
        )
    names = data.names
    return names.index("time") if "time" in names else data.ndim - 1


class ValueEstimatorBase(TensorDictModuleBase):
    """Computes state values, advantages and value targets of a batch of trajectories.

    Networks run with `set_recurrent_mode(True)`: those with a memory go over time.

    The batch is `[*B, T]`; time is the dimension named `"time"`, else the last one. Subclasses
    write `_estimate`.

    Args:
        value_network: writes the value key, or `None` when the batch already holds the values.
        gamma: discount, a number or a tensor that broadcasts to the reward.
        shifted: evaluate next observations only where an episode was cut or the data ends, and
            read the next value of every other step from the step after it. One call over the
            steps and those few rows, exact where `("next", observation)[t]` is
            `observation[t + 1]`. Not for recurrent networks nor multi-step data.
        differentiable: whether gradients flow through the values.
        skip_existing: read values that the batch already holds instead of computing them.
        device: where tensors among the hyper-parameters go.
        time_dim: dimension of time.
        deactivate_vmap: call the network twice rather than once on the concatenation.
        value_chunk_size: rows per network call; needs less memory. `None` is one call.
        num_chunks: number of network calls, instead of `value_chunk_size`.
        value_chunk_dim: batch dimension that is split.
        advantage_key: name of the advantage. `set_keys` does the same for all names.
        value_target_key: name of the target.
        value_key: name of the value.

    Reads:
        value_network.in_keys: at the root and under `"next"`.
        ("next", "reward"): `[*B, T, 1]`.
        ("next", "done"): `[*B, T, 1]` bool, ends of trajectories.
        ("next", "terminated"): `[*B, T, 1]` bool, optional, terminal states; default: done.
        ("next", "steps_to_next_obs"): `[*B, T, 1]`, optional, the exponent of the discount.
    Writes:
        advantage: `[*B, T, 1]`.
        value_target: `[*B, T, 1]`.
        state_value, ("next", "state_value"): `[*B, T, 1]`.

    Example:
        >>> from tensordict import TensorDict
        >>> class Reward(ValueEstimatorBase):
        ...     def _estimate(self, tensordict, data, value, next_value):
        ...         return data.reward - value, data.reward
        >>> step = {"reward": torch.ones(3, 1), "done": torch.zeros(3, 1, dtype=torch.bool)}
        >>> value = {"state_value": torch.zeros(3, 1)}
        >>> batch = TensorDict({**value, "next": {**step, **value}}, [3])
        >>> Reward(value_network=None, gamma=0.9)(batch)["advantage"].ravel()
        tensor([1., 1., 1.])
    """

    @dataclass(frozen=True)
    class _AcceptedKeys:
        advantage: NestedKey = "advantage"
        value_target: NestedKey = "value_target"
        value: NestedKey = "state_value"
        reward: NestedKey = "reward"
        done: NestedKey = "done"
        terminated: NestedKey = "terminated"
        steps_to_next_obs: NestedKey = "steps_to_next_obs"
        sample_log_prob: NestedKey = "action_log_prob"

    def __init__(  # noqa: PLR0913
        self,
        *,
        value_network: nn.Module | None,
        gamma: float | Tensor,
        shifted: bool = False,
        differentiable: bool = False,
        skip_existing: bool | None = None,
        device: torch.device | str | None = None,
        time_dim: int | None = None,
        deactivate_vmap: bool = False,
        value_chunk_size: int | None = None,
        num_chunks: int | None = None,
        value_chunk_dim: int = 0,
        advantage_key: NestedKey | None = None,
        value_target_key: NestedKey | None = None,
        value_key: NestedKey | None = None,
    ) -> None:
        super().__init__()
        if value_chunk_size is not None and num_chunks is not None:
            raise ValueError("Give `value_chunk_size` or `num_chunks`, not both.")
        self.value_network = value_network
        self.shifted = shifted
        self.differentiable = differentiable
        self.skip_existing = skip_existing
        self.time_dim = time_dim
        self.deactivate_vmap = deactivate_vmap
        self.value_chunk_size, self.num_chunks = value_chunk_size, num_chunks
        self.value_chunk_dim = value_chunk_dim
        self._coefficient("gamma", gamma, device)
        self._tensor_keys = self._AcceptedKeys()
        self.set_keys(advantage=advantage_key, value_target=value_target_key, value=value_key)
        if value_key is None and value_network is not None:
            self.set_keys(value=_value_key(value_network, self._tensor_keys.value))

    @property
    def tensor_keys(self) -> _AcceptedKeys:
        """The names in use; change them with `set_keys`."""
        return self._tensor_keys

    def set_keys(self, **keys: NestedKey | None) -> None:
        """Rename what the estimator reads and writes.

        Raises:
            ValueError: on an unknown name, listing the accepted ones.

        Example:
            >>> from rl.objectives.value import GAE
            >>> gae = GAE(gamma=0.99, lmbda=0.95, value_network=None)
            >>> gae.set_keys(reward=("agents", "reward"))
            >>> gae.tensor_keys.reward
            ('agents', 'reward')
        """
        self._tensor_keys = renamed_keys(type(self).__name__, self._tensor_keys, **keys)
        names = self._tensor_keys
        values = [names.value] if self.value_network is None else list(self.value_network.in_keys)
        self.in_keys = list(
            dict.fromkeys(
                [
                    *self._policy_keys(),
                    *values,
                    *(in_next(k) for k in (names.reward, names.done, names.terminated)),
                    *(in_next(k) for k in values),
                ]
            )
        )
        self.out_keys = [names.advantage, names.value_target, names.value]

    @dispatch
    @set_recurrent_mode(True)
    def forward(
        self,
        tensordict: TensorDictBase,
        *,
        params: TensorDictBase | None = None,
        target_params: TensorDictBase | None = None,
        time_dim: int | None = None,
    ) -> TensorDictBase:
        """Write advantage, value target and values into the batch, and return it.

        Args:
            tensordict: the batch, `[*B, T]`.
            params: parameters for the values of the steps, instead of the network's own.
            target_params: parameters for the values of the next steps. Default: `params`.
            time_dim: dimension of time, for this call.

        Raises:
            MissingKeyError: when values, rewards or flags are missing.
            ShapeError: when rewards, flags and values differ in shape.
        """
        data = self._step_data(tensordict, time_dim)
        with torch.set_grad_enabled(self.differentiable and torch.is_grad_enabled()):
            value, next_value = self._values(tensordict, data, params, target_params)
            advantage, target = self._estimate(tensordict, data, value, next_value)
        names = self._tensor_keys
        tensordict.set(names.value, value)
        tensordict.set(in_next(names.value), next_value)
        tensordict.set(names.advantage, advantage)
        tensordict.set(names.value_target, target)
        return tensordict

    @set_recurrent_mode(True)
    def value_estimate(
        self,
        tensordict: TensorDictBase,
        *,
        params: TensorDictBase | None = None,
        target_params: TensorDictBase | None = None,
        time_dim: int | None = None,
        next_value: Tensor | None = None,
    ) -> Tensor:
        """Return the value target `[*B, T, 1]` and leave the batch as it is.

        Args:
            tensordict: the batch, `[*B, T]`.
            params: parameters for the values of the steps, where the estimator needs them.
            target_params: parameters for the values of the next steps.
            time_dim: dimension of time, for this call.
            next_value: values of the next steps, already computed.
        """
        data = self._step_data(tensordict, time_dim)
        with torch.set_grad_enabled(self.differentiable and torch.is_grad_enabled()):
            if next_value is None:
                next_value = self._next_value(tensordict, target_params)
            return self._target(tensordict, data, next_value, params)

    @abc.abstractmethod
    def _estimate(
        self, tensordict: TensorDictBase, data: StepData, value: Tensor, next_value: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return `(advantage, value_target)`."""

    def _target(
        self,
        tensordict: TensorDictBase,
        data: StepData,
        next_value: Tensor,
        params: TensorDictBase | None,
    ) -> Tensor:
        # estimators whose target is free of V(s_t) override this and skip that call
        value = self._state_value(tensordict, params)
        return self._estimate(tensordict, data, value, next_value)[1]

    def _policy_keys(self) -> list[NestedKey]:
        return []

    def _coefficient(
        self, name: str, value: float | Tensor, device: torch.device | str | None
    ) -> None:
        if isinstance(value, Tensor):
            self.register_buffer(name, value.to(device))
        else:  # a plain number is exact in every dtype and costs no transfer
            setattr(self, name, value)

    def _step_data(self, tensordict: TensorDictBase, time_dim: int | None) -> StepData:
        names = self._tensor_keys
        reward = _required(tensordict, in_next(names.reward), type(self).__name__)
        done = _required(tensordict, in_next(names.done), type(self).__name__)
        terminated = tensordict.get(in_next(names.terminated), None)
        gamma = self.gamma
        steps = tensordict.get(in_next(names.steps_to_next_obs), None)
        if steps is None:
            steps = tensordict.get(names.steps_to_next_obs, None)
        if steps is not None:
            gamma = gamma**steps
        return StepData(
            reward=reward,
            done=done,
            terminated=done if terminated is None else terminated,
            gamma=gamma,
            time_dim=time_dimension(tensordict, self.time_dim if time_dim is None else time_dim),
        )

    def _values(
        self,
        tensordict: TensorDictBase,
        data: StepData,
        params: TensorDictBase | None,
        target_params: TensorDictBase | None,
    ) -> tuple[Tensor, Tensor]:
        value = self._existing(tensordict, self._tensor_keys.value)
        next_value = self._existing(tensordict, in_next(self._tensor_keys.value))
        if value is not None and next_value is not None:
            return value, next_value
        if value is not None:
            return value, self._next_value(tensordict, target_params)
        if self.shifted and target_params is None and not torch.compiler.is_compiling():
            return self._shifted_values(tensordict, data, params)
        if target_params is not None or self.deactivate_vmap:
            return (
                self._state_value(tensordict, params),
                self._next_value(tensordict, params if target_params is None else target_params),
            )
        joined, pieces = self._joined_inputs(tensordict, data.time_dim)
        values = self._call(joined, params)
        return tuple(values.unbind(0)) if pieces is None else tuple(values.split(pieces, 0))

    def _joined_inputs(
        self, tensordict: TensorDictBase, time_dim: int
    ) -> tuple[TensorDictBase, int | None]:
        """Return steps and next steps as one batch, and the rows of each when concatenated."""
        root, following = self._root(tensordict), self._following(tensordict)
        if tensordict.ndim > 1 and time_dim != 0:
            return torch.cat([root, following], 0), tensordict.shape[0]
        return torch.stack([root, following], 0), None

    def _shifted_values(
        self, tensordict: TensorDictBase, data: StepData, params: TensorDictBase | None
    ) -> tuple[Tensor, Tensor]:
        time = data.time_dim
        needed = data.done.clone()
        if needed.ndim > tensordict.ndim:
            needed = needed.flatten(tensordict.ndim).any(-1)
        needed.select(time, -1).fill_(True)
        root = self._root(tensordict).reshape(-1)
        joined = torch.cat([root, self._following(tensordict)[needed]])
        values = self._call(joined, params)
        value = values[: root.shape[0]].unflatten(0, tensordict.shape)
        return value, value.roll(-1, time).index_put((needed,), values[root.shape[0] :])

    def _state_value(self, tensordict: TensorDictBase, params: TensorDictBase | None) -> Tensor:
        existing = self._existing(tensordict, self._tensor_keys.value)
        return self._call(self._root(tensordict), params) if existing is None else existing

    def _next_value(self, tensordict: TensorDictBase, params: TensorDictBase | None) -> Tensor:
        existing = self._existing(tensordict, in_next(self._tensor_keys.value))
        return self._call(self._following(tensordict), params) if existing is None else existing

    def _existing(self, tensordict: TensorDictBase, key: NestedKey) -> Tensor | None:
        """Return the value that the batch holds, where it is to be used."""
        if self.value_network is None:
            found = tensordict.get(key, None)
            if found is None:
                raise MissingKeyError(
                    f"`{key}` is not in the batch and {type(self).__name__} has no value network "
                    "to compute it: pass `value_network`, or write the values first."
                )
            return found
        return tensordict.get(key, None) if self.skip_existing else None

    def _root(self, tensordict: TensorDictBase) -> TensorDict:
        return inputs_of(tensordict, self.value_network.in_keys)

    def _following(self, tensordict: TensorDictBase) -> TensorDict:
        """Return the inputs of the next steps; what `"next"` lacks is read at the root."""
        keys = self.value_network.in_keys
        following = inputs_of(tensordict.get("next"), keys)
        following.batch_size = tensordict.batch_size
        for key in keys:
            if key not in following.keys(True) and key in tensordict.keys(True):
                following.set(key, tensordict.get(key))
        # the markers of the steps keep trajectories apart in recurrent networks
        if "is_init" in keys and "is_init" in tensordict:
            following.set("is_init", tensordict.get("is_init"))
        return following

    def _call(self, data: TensorDictBase, params: TensorDictBase | None) -> Tensor:
        key, size = self._tensor_keys.value, self.value_chunk_size
        if self.num_chunks is not None:
            size = -(-data.shape[self.value_chunk_dim] // self.num_chunks)
        if size is None:
            return call_with(self.value_network, params, data).get(key)
        parts = [
            call_with(self.value_network, params, part).get(key)
            for part in data.split(size, self.value_chunk_dim)
        ]
        return torch.cat(parts, self.value_chunk_dim)


def _value_key(network: nn.Module, default: NestedKey) -> NestedKey:
    """Return the default when the network writes it or several keys, else what it writes."""
    written = [unravel_key(key) for key in getattr(network, "out_keys", [])]
    if default in written or len(written) != 1:
        return default
    return written[0]


def _required(tensordict: TensorDictBase, key: NestedKey, owner: str) -> Tensor:
    found = tensordict.get(key, None)
    if found is None:
        raise MissingKeyError(
            f"{owner} reads `{key}`, which is not in the batch (it has "
            f"{sorted(str(k) for k in tensordict.keys(True, True))}): write it, or name the entry "
            "that holds it with `set_keys`."
        )
    return found

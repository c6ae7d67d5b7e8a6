"""Maps from tensors to tensors, and the hashes that they rest on."""

from rl.data.maps.binary_to_decimal import BinaryToDecimal
from rl.data.maps.hash_to_int import HashToInt
from rl.data.maps.query import QueryModule
from rl.data.maps.random_projection import RandomProjectionHash
from rl.data.maps.sip_hash import SipHash
from rl.data.maps.tensor_map import TensorMap
from rl.data.maps.tensordict_map import TensorDictMap

__all__ = [
    "BinaryToDecimal",
    "HashToInt",
    "QueryModule",
    "RandomProjectionHash",
    "SipHash",
    "TensorDictMap",
    "TensorMap",
]

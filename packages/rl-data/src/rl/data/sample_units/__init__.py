"""Sample units: what each drawn element becomes in a batch."""

from rl.data.sample_units.base import SampleUnit
from rl.data.sample_units.sequence import Sequence
from rl.data.sample_units.transition import Transition

__all__ = ["SampleUnit", "Sequence", "Transition"]

"""rl.core."""

from rl.core.contract import *  # noqa: F403
from rl.core.distributions import *  # noqa: F403
from rl.core.errors import *  # noqa: F403
from rl.core.modules import *  # noqa: F403
from rl.core.optional import *  # noqa: F403
from rl.core.seeding import *  # noqa: F403
from rl.core.specs import *  # noqa: F403
from rl.core.transform import *  # noqa: F403

"""One buffer in several processes: rows in files, a lock that a dead process cannot keep."""

from rl.data.sharing.sharing import Sharing

__all__ = ["Sharing"]

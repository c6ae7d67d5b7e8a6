"""The run folder: config, metrics, checkpoint, curve and result of one training."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from rl.core.checkpoint.component_table import Stateful
from rl.core.checkpoint.files import MANIFEST, load_state, save_state, write_atomic
from rl.core.errors import CheckpointError, RLError
from rl.core.optional import is_module_available
from rl.core.provenance import versions
from rl.core.runs.config import config_to_json
from rl.core.runs.curve import RETURN_KEY, draw_curve
from rl.core.runs.lock import RunLock
from rl.core.runs.metrics import MetricsLog, as_number, read_metrics
from rl.core.runs.result import Evaluation, Result

__all__ = ["Reporter", "Run", "RunExistsError", "RunStopped", "read_run_file"]


class RunExistsError(RLError, FileExistsError):
    """The folder given for a new run already holds one."""


class RunStopped(RLError):  # noqa: N818  (an event that unwinds `train`, not a failure)
    """A run was asked to stop and has saved its checkpoint.

    Attributes:
        frames: the frames of that checkpoint.
        signum: the signal that asked, 0 when `request_stop` was called without one.
    """

    def __init__(self, message: str, *, frames: int, signum: int = 0) -> None:
        super().__init__(message)
        self.frames = frames
        self.signum = signum


class Reporter(Protocol):
    """Shows a run's progress; the `rl` command passes one."""

    def start(self, frames: int) -> None:
        """Training starts, or goes on, at `frames`."""
        ...

    def update(self, frames: int, metrics: Mapping[str, object]) -> None:
        """`metrics` were logged at `frames`."""
        ...

    def close(self) -> None:
        """Training has ended."""
        ...


class Run:
    """One training: what it logs, where it is saved, how it stops and goes on.

    A run folder holds `config.json`, `metrics.jsonl`, `checkpoint/`, and when finished `curve.png`
    and `result.json`. A run without a folder keeps metrics in memory and saves nothing.

    Args:
        recipe: the recipe's registered name.
        config: its config dataclass. `seed`, and where present `out` and `checkpoint_interval_s`
            (seconds between periodic checkpoints, 60 by default), are read here.
        folder: the run folder, `None` for none.

    Example:
        >>> import dataclasses, tempfile, torch
        >>> @dataclasses.dataclass
        ... class Config:
        ...     seed: int = 0
        ...     out: str | None = None
        >>> run = Run.start("toy", Config(out=tempfile.mkdtemp() + "/run"))
        >>> model = torch.nn.Linear(1, 1)
        >>> frames = run.restore(model)  # 0: nothing is saved yet
        >>> run.log(100, episode_return=1.0)
        >>> run.safe_point(100, model)  # saves when due, raises RunStopped when asked to stop
        >>> result = run.finish(100, model, lambda: Evaluation([1.0, 3.0]))
        >>> result.eval_return_mean, (run.folder / "result.json").exists()
        (2.0, True)
    """

    def __init__(self, recipe: str, config: object, folder: Path | None = None) -> None:
        self.recipe = recipe
        self.config = config
        self.folder = folder
        self.reporter: Reporter | None = None
        self.checkpoint_interval_s = float(getattr(config, "checkpoint_interval_s", 60.0))
        self._log = MetricsLog(folder / "metrics.jsonl") if folder is not None else None
        self._lock = RunLock(folder) if folder is not None else None
        self._records: list[dict[str, Any]] = []
        self._stop_signal: int | None = None
        self._started = self._saved_at = time.monotonic()
        self._earlier_s = 0.0

    @classmethod
    def start(cls, recipe: str, config: object) -> Run:
        """Begin a new run in `config.out`, or one without a folder when that is `None`.

        Raises:
            RunExistsError: the folder holds a run.
        """
        out = getattr(config, "out", None)
        if out is None:
            return cls(recipe, config)
        folder = Path(out)
        if (folder / "config.json").exists():
            raise RunExistsError(
                f"`{folder}` already holds a run. Continue it with `rl resume {folder}`, or choose "
                "another folder with `--out`."
            )
        folder.mkdir(parents=True, exist_ok=True)
        content = {"recipe": recipe, "config": config_to_json(config), "versions": versions()}
        write_atomic(folder / "config.json", _json(content))
        return cls(recipe, config, folder)

    @property
    def has_checkpoint(self) -> bool:
        """Whether a checkpoint is saved."""
        return self.folder is not None and (self.folder / "checkpoint" / MANIFEST).exists()

    @property
    def wall_s(self) -> float:
        """Seconds of training so far, summed over interruptions."""
        return self._earlier_s + time.monotonic() - self._started

    @property
    def metrics(self) -> list[dict[str, Any]]:
        """The records logged so far, each with `"frames"`."""
        return read_metrics(self._log.path) if self._log is not None else list(self._records)

    def lock(self, wait_s: float = 0.0) -> None:
        """Claim the folder for this process until `close`; `restore` does it too.

        Args:
            wait_s: how long to wait for another process that trains in it.

        Raises:
            RunBusyError: another process still trains in it.
        """
        if self._lock is not None:
            self._lock.acquire(wait_s)

    def restore(self, components: Stateful) -> int:
        """Load the saved state into `components` and return its frames, 0 when nothing is saved.

        Metrics past the checkpoint are dropped: they will be logged again. Call it once everything
        is built and seeded, so that what the checkpoint holds has the last word.

        Raises:
            CheckpointError: the checkpoint is damaged or belongs to other components.
            RunBusyError: another process trains in the folder.
        """
        self.lock()
        frames = 0
        saved = self._read()
        if saved is not None:
            components.load_state_dict(saved["components"])
            frames = saved["frames"]
            self._earlier_s = saved["wall_s"]
        if self._log is not None:
            self._log.truncate(frames)
        self._started = self._saved_at = time.monotonic()
        if self.reporter is not None:
            self.reporter.start(frames)
        return frames

    def load(self) -> Any:  # noqa: ANN401
        """Return the saved state of the components, `None` when nothing is saved."""
        saved = self._read()
        return None if saved is None else saved["components"]

    def log(self, frames: int, **metrics: object) -> None:
        """Append one record of metrics.

        Args:
            frames: frames of training so far.
            **metrics: numbers, or tensors of one element. `episode_return`, the mean return of the
                episodes that ended since the last call, is what progress and curves show.
        """
        numbers = {name: as_number(value) for name, value in metrics.items()}
        if self._log is not None:
            self._log.append(frames, numbers)
        else:
            self._records.append({"frames": int(frames)} | numbers)
        if self.reporter is not None:
            self.reporter.update(frames, numbers)

    def save(self, frames: int, components: Stateful) -> None:
        """Save `components` as the checkpoint of `frames`, atomically."""
        if self.folder is not None:
            state = {
                "frames": int(frames),
                "wall_s": self.wall_s,
                "components": components.state_dict(),
            }
            # metrics first: a checkpoint never stands without the records that led to it
            self._log.sync()  # type: ignore[union-attr]
            save_state(self.folder / "checkpoint", state)
        self._saved_at = time.monotonic()

    def safe_point(self, frames: int, components: Stateful) -> None:
        """Save if a checkpoint is due; stop if that was asked for. Call it once per iteration.

        Raises:
            RunStopped: after saving, when `request_stop` was called or a signal came.
        """
        if self._stop_signal is not None:
            self.save(frames, components)
            self._draw()
            raise RunStopped(
                f"Stopped at {frames} frames.", frames=frames, signum=self._stop_signal
            )
        if time.monotonic() - self._saved_at >= self.checkpoint_interval_s:
            self.save(frames, components)

    def request_stop(self, signum: int = 0) -> None:
        """Ask the run to save and stop at its next safe point."""
        self._stop_signal = signum

    @contextmanager
    def stop_on_signals(self) -> Iterator[None]:
        """Turn SIGTERM, SIGINT and SIGHUP into `request_stop` for the length of a `with` block.

        A second SIGINT interrupts at once. A signal that is ignored stays so (`nohup`). Only the
        main thread of a program may use it.
        """

        def handle(signum: int, frame: object) -> None:
            if signum == signal.SIGINT and self._stop_signal is not None:
                raise KeyboardInterrupt
            self.request_stop(signum)

        heard = [signum for signum in _SIGNALS if signal.getsignal(signum) != signal.SIG_IGN]
        before = {signum: signal.signal(signum, handle) for signum in heard}
        try:
            yield
        finally:
            for signum, handler in before.items():
                signal.signal(signum, handler)

    def finish(
        self, frames: int, components: Stateful, evaluate: Callable[[], Evaluation]
    ) -> Result:
        """Save the final checkpoint, evaluate, and write `result.json` and `curve.png`.

        Args:
            frames: frames of training.
            components: what is saved.
            evaluate: plays the final evaluation; its time is not counted as training.
        """
        wall_s = self.wall_s
        self.save(frames, components)
        evaluation = evaluate()
        result = Result(
            eval_return_mean=evaluation.mean,
            eval_return_std=evaluation.std,
            frames=int(frames),
            wall_s=wall_s,
            fps=frames / wall_s,
            seed=getattr(self.config, "seed", 0),
            versions=versions(),
            metrics=dict(evaluation.metrics),
            folder=self.folder,
        )
        if self.folder is not None:
            numbers = result.to_json()
            for name in ("eval_return_mean", "eval_return_std"):
                numbers[name] = as_number(numbers[name])
            write_atomic(self.folder / "result.json", _json(numbers))
        self._draw()
        self.close()
        return result

    def close(self) -> None:
        """Close the metrics file and let go of the folder."""
        if self._log is not None:
            self._log.close()
        if self._lock is not None:
            self._lock.release()

    def _read(self) -> dict[str, Any] | None:
        if not self.has_checkpoint:
            return None
        path = self.folder / "checkpoint"  # type: ignore[operator]
        saved = load_state(path)
        if not isinstance(saved, dict) or not {"frames", "wall_s", "components"} <= saved.keys():
            raise CheckpointError(
                f"`{path}` holds no field `frames`: it is not the checkpoint of a run. "
                "Read it with `load_state`."
            )
        return saved

    def _draw(self) -> None:
        # drawing is a convenience: a program without matplotlib trains all the same
        if self.folder is None or not is_module_available("matplotlib"):
            return
        points = [
            (r["frames"], r[RETURN_KEY]) for r in self.metrics if r.get(RETURN_KEY) is not None
        ]
        draw_curve(self.folder / "curve.png", {self.recipe: [points]})


_SIGNALS = [
    getattr(signal, name) for name in ("SIGTERM", "SIGINT", "SIGHUP") if hasattr(signal, name)
]


def read_run_file(folder: Path, name: str) -> dict[str, Any]:
    """Return the JSON object in a run folder's file.

    Raises:
        CheckpointError: the file is missing or damaged; the message names it.
    """
    path = folder / name
    try:
        content = json.loads(path.read_bytes())
    except OSError as error:
        raise CheckpointError(
            f"`{folder}` is not a run folder: `{name}` cannot be read ({error}). "
            "Pass a folder that `rl train --out` wrote."
        ) from error
    except ValueError as error:
        raise CheckpointError(f"`{path}` is not JSON: truncated or damaged ({error}).") from error
    if not isinstance(content, dict):
        raise CheckpointError(f"`{path}` holds a {type(content).__name__}, expected an object.")
    return content


def _json(content: object) -> bytes:
    return (json.dumps(content, indent=2, allow_nan=False) + "\n").encode()

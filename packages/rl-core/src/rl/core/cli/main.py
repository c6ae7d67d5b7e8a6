"""The `rl` command: reads the command line and calls the command."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from rl.core.cli import commands
from rl.core.cli.doctor import doctor
from rl.core.errors import RLError

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line `argv`, that of the process by default, and return the exit status.

    0: done. 1: an error, told in one message. 2: wrong usage. 128 + N: stopped by signal N.

    Example:
        >>> main(["eval", "no-such-run"])
        1
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        if arguments[:1] == ["train"] and arguments[1:] and not arguments[1].startswith("-"):
            # the flags of a recipe are its config's fields: tyro reads them
            return commands.train(arguments[1], arguments[2:])
        return _dispatch(_parser().parse_args(arguments))
    except (RLError, FileNotFoundError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 1


def _dispatch(options: argparse.Namespace) -> int:
    match options.command:
        case "list" | "train":
            return commands.list_recipes()
        case "resume":
            return commands.resume(options.run)
        case "eval":
            return commands.evaluate(options.run, episodes=options.episodes, video=options.video)
        case "plot":
            return commands.plot(options.runs, out=options.out)
        case _:
            return doctor()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="rl", description="Train, resume, evaluate and compare.")
    sub = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    sub.add_parser("list", help="the recipes, with the wheel each comes from")
    sub.add_parser(
        "train",
        help="train a recipe: `rl train RECIPE [flags]`; `rl train RECIPE --help` lists its flags",
        description="`rl train RECIPE [flags]`. Without a recipe, lists them.",
    )
    resume = sub.add_parser("resume", help="continue a run exactly where it stopped")
    resume.add_argument("run", metavar="RUN", help="the run folder")
    evaluate = sub.add_parser("eval", help="play the policy of a run")
    evaluate.add_argument("run", metavar="RUN", help="the run folder")
    evaluate.add_argument("--episodes", type=_positive, default=20, help="default: 20")
    evaluate.add_argument("--video", metavar="FILE", help="records the first episode")
    plot = sub.add_parser("plot", help="draw returns over frames, with their spread over seeds")
    plot.add_argument("runs", nargs="+", metavar="RUN", help="run folders")
    plot.add_argument("--out", default="curves.png", metavar="FILE", help="default: curves.png")
    sub.add_parser("doctor", help="versions of everything, what clashes, and the fix")
    return parser


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} is below 1")
    return number


if __name__ == "__main__":
    sys.exit(main())

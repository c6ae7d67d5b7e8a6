"""The `rl` command; its entry is `rl.core.cli.main:main`."""

__all__: list[str] = []

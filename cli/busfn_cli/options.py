"""Options that many commands have."""

from __future__ import annotations

from typing import Annotated

import typer

Env = Annotated[str | None, typer.Option("--env", "-e", help="Environment on the bus.")]
AsJson = Annotated[bool, typer.Option("--json", help="As JSON.")]
AppName = Annotated[str, typer.Argument(metavar="NAME", help="The app's name.")]

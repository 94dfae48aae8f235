"""`busfn deploy`."""

from __future__ import annotations

from typing import Annotated

import typer

from busfn_cli.options import Env


def deploy(
    ref: Annotated[str, typer.Argument(metavar="FILE.py[::APP]", help="With -m, PACKAGE.MODULE[::APP].")],
    module: Annotated[bool, typer.Option("-m", help="The reference is a module, not a file.")] = False,
    name: Annotated[str | None, typer.Option("--name", help="Deploy under another name.")] = None,
    env: Env = None,
    tag: Annotated[str, typer.Option("--tag", help="A remark for the history, as a version of your own.")] = "",
    strategy: Annotated[
        str,
        typer.Option(
            "--strategy", help="`rolling` (old workers go when new ones are ready) or `recreate` (they go first)."
        ),
    ] = "rolling",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only list the files that would be stored.")] = False,
) -> None:
    """Deploy an app: store its code as the next version, to be served until it is stopped.

    A script brings all files of its folder (but hidden ones, virtual environments, and what .busfnignore names), a
    module brings its package. Workers of the version before finish what they run.

    Example: busfn deploy examples/hello.py --tag 2026-01
    """
    from busfn_cli.console import Console
    from busfn_cli.deploying import DeployRequest
    from busfn_cli.deploying import deploy as deploy_request

    request = DeployRequest(ref=ref, is_module=module, name=name, env=env, tag=tag, strategy=strategy, dry_run=dry_run)
    with Console() as console:
        code = deploy_request(request, console)
    raise typer.Exit(code)

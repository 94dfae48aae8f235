"""Imports an app in a process of its own and tells what it holds: `busfn serve` must see each state of the code anew.

Run as ``python -m busfn_cli.inspecting FILE.py[::APP] [-m]``: prints the app's functions as JSON; errors go to stderr.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence

from busfn.errors import InvalidError
from busfn.refs import load, parse_ref, resolve
from busfn.sources import specs
from busfn_cli.deploying import choose_app
from busfn_cli.tracebacks import describe


def main(arguments: Sequence[str]) -> int:
    """Import, choose, print; returns the exit code."""
    ref, *rest = arguments
    try:
        source = resolve(parse_ref(ref, module="-m" in rest), os.getcwd())
        shown, _, name = ref.partition("::")
        app = choose_app(vars(load(source)), name, shown)
        found = [spec.to_dict() for spec in specs(app)]
        if not found:
            raise InvalidError(f"{shown} has an app, but no function to serve")
    except BaseException as error:
        if isinstance(error, SystemExit):
            raise
        print(describe(error), file=sys.stderr)
        return 1
    print(json.dumps({"directory": source.directory, "functions": found}))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

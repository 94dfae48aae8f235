"""Names that functions and modules may have, and a command line still takes."""

from __future__ import annotations

import pytest

LINE = """
    import time
    import busfn

    app = busfn.App("line")

    @app.local_entrypoint()
    def clash(no_cache: bool = False, cache: bool = True):
        print(f"no_cache={no_cache} cache={cache}")

    @app.local_entrypoint()
    def own(self: str):
        print(self)

    @app.local_entrypoint()
    def plain(n: int = 1, opts={}):
        print(n, opts)

    @app.function()
    def f(self, cls=0): return self, cls

    @app.local_entrypoint()
    def moment():
        later = f.with_options(at=time.time() + 0.2)
        print(later.spawn(1).get(timeout=30), later.spawn(self=2, cls=3).get(timeout=30))
        print(f.remote(self=4), f.local(self=5))
"""


@pytest.mark.parametrize(
    ("args", "out"),
    [
        (("line.py::clash", "--no-cache"), "no_cache=True cache=True\n"),
        (("line.py::own", "--self", "me"), "me\n"),
        (("line.py::plain", "--n", "2"), "2 {}\n"),
        (("line.py::f", "--self", "me"), "('me', 0)\n"),
        (("line.py::moment",), "(1, 0) (2, 3)\n(4, 0) (5, 0)\n"),
    ],
)
def test_command_line_takes_what_functions_are_written_with(cli, args, out):
    cli.script("line.py", LINE)
    ended = cli("run", *args)
    assert (ended.code, ended.out, ended.err) == (0, out, "")


def test_numbered_module_is_run_and_its_functions_are_served(cli):
    cli.script(
        "01_start/hello.py",
        """
        import busfn
        app = busfn.App("numbered")

        @app.function()
        def f(x): return x

        @app.local_entrypoint()
        def main(): print("hello", f.remote(1))
        """,
    )
    ended = cli("run", "-m", "01_start.hello")
    assert (ended.code, ended.out, ended.err) == (0, "hello 1\n", "")

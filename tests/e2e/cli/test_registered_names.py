"""A worker runs the function that the app registered under a name, whatever a module's attribute means by then."""

from __future__ import annotations

import pytest

LOOP = """
    import busfn

    app = busfn.App("rebound")
    handles = []
    for unit, factor in (("metres", 1), ("feet", 3)):

        @app.function(name=unit)
        def convert(x, factor=factor):
            return x * factor

        handles.append(convert)

    @app.local_entrypoint()
    def main():
        print([handle.remote(10) for handle in handles], [handle.local(10) for handle in handles])
"""


def test_rebound_name_runs_what_was_registered_under_it(cli):
    cli.script("rebound.py", LOOP)
    ended = cli("run", "rebound.py")
    assert (ended.code, ended.out, ended.err) == (0, "[10, 30] [10, 30]\n", "")


@pytest.mark.parametrize("way", ["python rebound.py", "busfn run -m rebound"])
def test_it_does_however_the_code_is_started(cli, way):
    cli.script("rebound.py", LOOP + '\n    if __name__ == "__main__":\n        with app.run():\n            main()\n')
    ended = cli.python("rebound.py") if way.startswith("python") else cli("run", "-m", "rebound")
    assert (ended.code, ended.out, ended.err) == (0, "[10, 30] [10, 30]\n", "")


SIBLINGS = """
    import functools
    import operator
    import busfn

    app = busfn.App("siblings")

    def doubled(function):
        @functools.wraps(function)
        def inner(x):
            return 2 * function(x)
        return inner

    @app.function()
    @doubled
    def under(x):
        return x + 1

    def above(handle):
        return lambda x: -handle.local(x)

    @above
    @app.function()
    def decorated(x):
        return x + 2

    @app.function()
    def replaced(x):
        return x + 3

    kept = replaced

    def replaced(x):
        return "a plain function of the same name"

    class Counter:
        def __init__(self, start):
            self.start = start

        def add(self, x):
            return self.start + x

        @staticmethod
        def twice(x):
            return 2 * x

    bound = app.function()(Counter(100).add)
    static = app.function()(Counter.twice)
    partial = app.function(name="partial")(functools.partial(pow, 2))
    getter = app.function(name="getter")(operator.itemgetter(1))
    anonymous = app.function(name="anonymous")(lambda x: x * 7)
    size = app.function()(len)
    largest = app.function()(max)

    def make(factor):
        def by(x):
            return x * factor
        by.__name__ = by.__qualname__ = f"by{factor}"
        return app.function()(by)

    made = [make(2), make(3)]
    other_module = app.function()(helper.triple)

    @app.local_entrypoint()
    def main():
        print(under.remote(1), app.functions["decorated"].remote(1), kept.remote(1))
        print(bound.remote(1), static.remote(4), partial.remote(5), getter.remote([1, 2]), anonymous.remote(6))
        print(size.remote("four"), largest.remote(3, 9, 4), [one.remote(10) for one in made], other_module.remote(5))
"""


def test_all_kinds_of_callables_that_a_module_registers_are_run(cli):
    cli.script("helper.py", "def triple(x):\n    return 3 * x\n")
    cli.script("siblings.py", SIBLINGS.replace("import busfn\n", "import busfn\n    import helper\n", 1))
    ended = cli("run", "siblings.py")
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.splitlines() == ["4 3 4", "101 8 32 2 42", "4 9 [20, 30] 15"]


def test_an_earlier_handle_of_a_name_that_was_registered_twice_is_refused(cli):
    cli.script(
        "twice.py",
        """
        import busfn

        app = busfn.App("twice")

        @app.function()
        def _(x):
            return 2 * x

        double = _

        @app.function()
        def _(x):
            return 3 * x

        triple = _

        @app.local_entrypoint()
        def main():
            print(triple.remote(4), double.local(4))
            for use in (double.remote, double.spawn, lambda x: list(double.map([x]))):
                try:
                    print(use(4))
                except busfn.errors.InvalidError as error:
                    print(type(error).__name__, "name=" in str(error))
        """,
    )
    ended = cli("run", "twice.py")
    assert (ended.code, ended.out.splitlines()) == (0, ["12 8", *["InvalidError True"] * 3])
    assert "defines '_' twice, in twice and in twice" in ended.err


def test_a_registration_that_a_worker_does_not_repeat_is_a_clear_failure(cli):
    cli.script(
        "conditional.py",
        """
        import busfn

        app = busfn.App("conditional")

        @app.function()
        def known(x):
            return x

        if __name__ == "__main__":
            @app.function()
            def hidden(x):
                return x

            with app.run():
                print(known.remote(1))
                try:
                    hidden.remote(1)
                except busfn.errors.Error as error:
                    print(error)
        """,
    )
    ended = cli.python("conditional.py")
    assert ended.code == 0
    first, text = ended.out.split("\n", 1)
    assert first == "1"
    assert "conditional.py, which registers no function 'hidden' on the app 'conditional' (there is known)" in text
    assert "serialized=True" in text


def test_a_module_that_imports_an_app_of_the_same_name_runs_its_own(cli):
    cli.script("first.py", 'import busfn\n\napp = busfn.App("same")\n\n@app.function()\ndef f():\n    return "first"\n')
    cli.script(
        "second.py",
        """
        import busfn
        import first

        app = busfn.App("same")

        @app.function()
        def f():
            return "second"

        @app.local_entrypoint()
        def main():
            print(f.remote())
        """,
    )
    ended = cli("run", "second.py")
    assert (ended.code, ended.out, ended.err) == (0, "second\n", "")

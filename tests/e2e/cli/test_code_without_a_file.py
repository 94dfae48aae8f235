"""Apps whose code workers cannot import: it is sent to them, signed."""

from __future__ import annotations

import zipapp

import pytest

RUN = """
import busfn

app = busfn.App("nofile")
OFFSET = 100

class Point:
    def __init__(self, x):
        self.x = x

class Refused(Exception):
    pass

def helper(x):
    return x + OFFSET

@app.function()
def double(x):
    return helper(x * 2)

@app.function()
def nested(x):
    return double.remote(x) + double.local(x)

@app.function()
def moved(point):
    assert isinstance(point, Point)
    return Point(point.x + 1)

@app.function()
def refuse(x):
    raise Refused(x)

@app.function()
def count(n):
    yield from range(n)

size = app.function()(len)

with app.run():
    print(double.remote(4), nested.remote(4), size.remote("four"), list(double.map([1, 2])), list(count.remote_gen(3)))
    point = moved.remote(Point(1))
    print(isinstance(point, Point), point.x, double.spawn(5).get())
    try:
        refuse.remote(3)
    except Refused as error:
        print("refused", error.args)
"""
PRINTED = ["108 216 4 [102, 104] [0, 1, 2]", "True 2 110", "refused (3,)"]


@pytest.mark.parametrize("args", [("-c", RUN), ("-",), ()], ids=["-c", "-", "stdin"])
def test_no_file_is_needed_to_run_an_app(cli, args):
    ended = cli.python(*args, given="" if "-c" in args else RUN)
    assert (ended.code, ended.out.splitlines(), ended.err) == (0, PRINTED, "")


def test_code_given_to_exec_is_run(cli):
    """Its classes are of a module that does not exist, and come back as the same ones."""
    cli.script("exec_it.py", f"exec(compile({RUN!r}, '<made>', 'exec'), {{'__name__': 'made'}})\n")
    ended = cli.python("exec_it.py")
    assert (ended.code, ended.err, ended.out.splitlines()) == (0, "", PRINTED)


def test_an_archive_is_run(cli):
    cli.script("archive/__main__.py", RUN)
    cli.script("archive/beside.py", "VALUE = 7\n")
    zipapp.create_archive(cli.folder / "archive", cli.folder / "app.pyz")
    ended = cli.python("app.pyz")
    assert (ended.code, ended.out.splitlines(), ended.err) == (0, PRINTED, "")


def test_a_folder_with_a_main_is_run(cli):
    cli.script("folder/__main__.py", RUN)
    ended = cli.python("folder")
    assert (ended.code, ended.out.splitlines(), ended.err) == (0, PRINTED, "")


def test_ipython_runs_an_app(cli):
    pytest.importorskip("IPython")
    ended = cli.python("-m", "IPython", "--no-banner", "--colors=NoColor", "-c", RUN)
    assert (ended.code, ended.out.splitlines()) == (0, PRINTED)


def test_a_notebook_runs_an_app(cli):
    pytest.importorskip("ipykernel")
    pytest.importorskip("nbclient")
    given = f"""
        import nbformat, nbclient
        cells = {RUN!r}.split("with app.run()")
        book = nbformat.v4.new_notebook()
        book.cells = [nbformat.v4.new_code_cell(cells[0]), nbformat.v4.new_code_cell("with app.run()" + cells[1])]
        nbclient.NotebookClient(book, timeout=30, kernel_name="python3").execute()
        print("".join(one.get("text", "") for one in book.cells[1].outputs if one.get("name") == "stdout"), end="")
    """
    ended = cli.python("-", given=given)
    assert (ended.code, ended.out.splitlines()) == (0, PRINTED), ended.err


def test_closures_are_sent_when_they_are_serialized(cli):
    cli.script(
        "closures.py",
        """
        import busfn

        app = busfn.App("closures")

        def make(factor):
            @app.function(name=f"by{factor}", serialized=True)
            def by(x):
                return x * factor
            return by

        def main():
            handles = [make(2), make(3)]
            with app.run():
                print([one.remote(10) for one in handles])

        if __name__ == "__main__":
            main()
        """,
    )
    ended = cli.python("closures.py")
    assert (ended.code, ended.out, ended.err) == (0, "[20, 30]\n", "")


def test_what_cannot_be_pickled_says_so(cli):
    text = """
        import threading, busfn
        app = busfn.App("nofile")
        lock = threading.Lock()
        @app.function()
        def locked(x):
            with lock:
                return x
        try:
            with app.run():
                print(locked.remote(4))
        except busfn.errors.InvalidError as error:
            print(error)
    """
    ended = cli.python("-", given=text)
    assert ended.code == 0
    assert "nofile.locked has to be sent to workers as a pickle" in ended.out
    assert "_thread.lock" in ended.out


def test_without_a_signing_key_a_shared_bus_gets_no_pickle(cli, server):
    url = server.address.servers[0].replace("://", f"://{server.address.token}@")
    ended = cli.python("-c", RUN, env={"BUSFN_URL": url, "BUSFN_ENV": cli.folder.parent.name[-20:].strip("_")})
    assert ended.code == 1
    assert "pickles need a signing key: set BUSFN_SIGNING_KEY" in ended.err


def test_another_python_is_told_apart():
    from busfn.errors import AuthError, DeserializationError
    from busfn.serialized import restore
    from busfn.sources import sign_code

    code = b"2.7\nwhatever"
    with pytest.raises(DeserializationError, match=r"by Python 2\.7"):
        restore(code, sign_code(code, b"key"), b"key", "a.f")
    with pytest.raises(AuthError, match="another key"):
        restore(code, sign_code(code, b"key"), b"other", "a.f")

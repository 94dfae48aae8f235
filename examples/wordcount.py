"""Counts the identifiers in every module of the Python standard library on this machine, with `map`."""

import collections
import pathlib
import sysconfig
import tokenize

import busfn

app = busfn.App("wordcount")


@app.function()
def count_identifiers(path: str) -> dict[str, int]:
    """How often each name occurs in one source file; nothing for a file that is not valid Python."""
    names: collections.Counter[str] = collections.Counter()
    try:
        with tokenize.open(path) as source:
            names.update(t.string for t in tokenize.generate_tokens(source.readline) if t.type == tokenize.NAME)
    except (SyntaxError, tokenize.TokenError, UnicodeDecodeError):
        return {}
    return dict(names)


@app.local_entrypoint()
def main(top: int = 15, limit: int = 0) -> None:
    """Count in workers, add up here, print a table.

    Args:
        top: how many names to print
        limit: read only so many files; 0 reads all
    """
    library = pathlib.Path(sysconfig.get_path("stdlib"))
    files = sorted(str(path) for path in library.rglob("*.py") if "site-packages" not in path.parts)
    files = files[: limit or None]
    total: collections.Counter[str] = collections.Counter()
    for names in count_identifiers.map(files, order_outputs=False):
        total.update(names)
    print(f"{len(files)} files, {len(total)} different names, {total.total()} in all")
    for name, times in total.most_common(top):
        print(f"{times:>9}  {name}")

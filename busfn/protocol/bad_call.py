"""The refusal of a call whose arguments do not fit; apart from what finds that out, which callers need not load."""

from __future__ import annotations

from busfn.errors import InvalidError


class BadCall(InvalidError):
    """The arguments do not fit the function; it was not run."""

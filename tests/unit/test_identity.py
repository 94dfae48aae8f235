"""The identity that a stack keeps in its folder: read strictly, and never replaced behind its owner's back."""

from __future__ import annotations

from pathlib import Path

import pytest

from busfn.errors import InvalidError
from busfn_services.home import Identity


def test_a_new_folder_gets_a_new_identity_and_keeps_it(tmp_path: Path) -> None:
    made = Identity.load(tmp_path)
    made.save(tmp_path)
    assert Identity.load(tmp_path) == made
    assert Identity.load(tmp_path / "other") != made


@pytest.mark.parametrize(
    "text",
    ["", "{}", "[]", '{"token": 1, "signing_key": "k"}', '{"token": "a b", "signing_key": "k"}',
     '{"token": "t", "signing_key": "k", "port": 70000}'],
)  # fmt: skip
def test_one_that_cannot_be_read_is_an_error_that_names_the_file(tmp_path: Path, text: str) -> None:
    (tmp_path / "identity.json").write_text(text)
    with pytest.raises(InvalidError, match=r"identity\.json"):
        Identity.load(tmp_path)
    assert (tmp_path / "identity.json").read_text() == text

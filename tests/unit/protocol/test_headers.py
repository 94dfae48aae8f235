from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from busfn.bus.frames import encode_headers
from busfn.protocol.headers import publishable

TEXT = st.text(st.characters(exclude_categories=["Cs"]))


@given(st.dictionaries(TEXT, TEXT))
def test_what_is_left_can_be_published(headers):
    encode_headers(publishable(headers))


@pytest.mark.parametrize("headers", [{"Busfn-Call": "c1", "Content-Type": "application/json; charset=utf-8"}, {}])
def test_headers_of_ours_stay_as_they_are(headers):
    assert publishable(headers) == headers

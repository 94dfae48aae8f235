from __future__ import annotations

import pytest

from bench import catalog, subjects


def test_names_are_unique() -> None:
    names = [row.name for row in catalog.ROWS]
    assert len(names) == len(set(names))
    peers = [peer.name for peer in subjects.PEERS]
    assert len(peers) == len(set(peers))


def test_sizes_of_frameworks_are_never_larger() -> None:
    for row in catalog.ROWS:
        for quick in (False, True):
            own = catalog.params_of(row, quick=quick, framework=False)
            framework = catalog.params_of(row, quick=quick, framework=True)
            assert own.keys() == framework.keys()
            assert all(framework[key] <= own[key] for key in own)


def test_rows_and_peers_are_chosen_by_name() -> None:
    assert [row.name for row in catalog.choose(frozenset(("map", "warm")), quick=True)] == ["warm", "map"]
    assert subjects.choose(frozenset(("none",)), quick=False) == []
    with pytest.raises(ValueError, match="no such row: nonsense"):
        catalog.choose(frozenset(("nonsense",)), quick=False)
    with pytest.raises(ValueError, match="no such peer: nonsense"):
        subjects.choose(frozenset(("nonsense",)), quick=False)


def test_a_quick_run_needs_no_environment_of_a_peer() -> None:
    assert all(not peer.venv for peer in subjects.choose(frozenset(), quick=True))


def test_frameworks_are_measured_alone() -> None:
    peers = subjects.choose(frozenset(), quick=False)
    together, *alone = subjects.groups([subjects.BUSFN, *peers])
    assert together[0] is subjects.BUSFN
    assert not any(one.framework for one in together)
    assert all(len(group) == 1 and group[0].framework for group in alone)

from __future__ import annotations

from busfn.deployment import AppState, Deployment
from busfn.protocol.codecs import BlobRef
from busfn.registry_rows import Override
from busfn.spec import FunctionSpec
from busfn_services.controller.wanted import of_registry, versions_in_use, with_overrides

BUNDLE = BlobRef(name="b", size=1, chunks=1, sha256="0" * 64)


def deployment(version: int, *names: str) -> Deployment:
    functions = [FunctionSpec(app="shop", name=name, source={}, qualname=name) for name in names]
    return Deployment(app="shop", version=version, functions=functions, bundle=BUNDLE, deployed_at=0.0)


DEPLOYMENTS = {("shop", 1): deployment(1, "f", "old"), ("shop", 2): deployment(2, "f")}


def labels(served) -> list[tuple[str, int]]:
    return [(one.spec.label, one.spec.version) for one in served]


def test_the_current_version_of_each_app_is_served():
    assert labels(of_registry({"shop": AppState(version=2)}, (), DEPLOYMENTS)) == [("shop.f", 2)]
    assert labels(of_registry({"shop": AppState(version=2, stopped=True)}, (), DEPLOYMENTS)) == []


def test_versions_that_somebody_insists_on_are_served_under_names_of_their_own():
    served = of_registry({"shop": AppState(version=2)}, [("shop", 1)], DEPLOYMENTS)
    assert labels(served) == [("shop.f", 2), ("shop@1.f", 1), ("shop@1.old", 1)]


def test_an_app_that_is_stopped_is_served_at_no_version():
    assert labels(of_registry({"shop": AppState(version=2, stopped=True)}, [("shop", 1)], DEPLOYMENTS)) == []


def test_what_has_to_be_read():
    states = {"shop": AppState(version=2), "gone": AppState(version=1, stopped=True)}
    assert versions_in_use(states, [("shop", 1), ("gone", 1)]) == {("shop", 2), ("shop", 1)}


def test_settings_hold_for_their_version_only():
    served = of_registry({"shop": AppState(version=2)}, (), DEPLOYMENTS)
    [changed] = with_overrides(served, {("shop", "f"): Override(2, {"min_containers": 3})})
    assert changed.spec.scaling.min_containers == 3
    [same] = with_overrides(served, {("shop", "f"): Override(1, {"min_containers": 3})})
    assert same.spec.scaling.min_containers == 0

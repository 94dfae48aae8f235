"""Which functions a controller has to serve. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from busfn.deployment import AppState, Deployment, Strategy
from busfn.protocol.names import pinned
from busfn.registry_rows import Override
from busfn.spec import FunctionSpec


@dataclass(frozen=True, slots=True)
class Served:
    """A function, and how its workers are replaced when a new version comes."""

    spec: FunctionSpec
    strategy: Strategy = "rolling"


def versions_in_use(states: Mapping[str, AppState], pins: Iterable[tuple[str, int]]) -> set[tuple[str, int]]:
    """App and version of everything that has to be served."""
    alive = _alive(states)
    return set(alive.items()) | {(app, version) for app, version in pins if app in alive}


def of_registry(
    states: Mapping[str, AppState],
    pins: Iterable[tuple[str, int]],
    deployments: Mapping[tuple[str, int], Deployment],
) -> list[Served]:
    """The functions of all deployed apps, and of versions that somebody insists on under names of their own."""
    served: list[Served] = []
    alive = _alive(states)
    for app, version in alive.items():
        deployment = deployments.get((app, version))
        if deployment is not None:
            served += [_served(spec, app, deployment) for spec in deployment.functions]
    for app, version in pins:
        deployment = deployments.get((app, version))
        if deployment is not None and app in alive:
            served += [_served(spec, pinned(app, version), deployment) for spec in deployment.functions]
    return served


def _alive(states: Mapping[str, AppState]) -> dict[str, int]:
    """The current versions of apps that are not stopped."""
    return {app: state.version for app, state in states.items() if not state.stopped}


def with_overrides(served: Iterable[Served], overrides: Mapping[tuple[str, str], Override]) -> list[Served]:
    """The same, scaled as somebody has asked for since the deploy."""
    return [_overridden(one, overrides.get((one.spec.app, one.spec.name))) for one in served]


def _served(spec: FunctionSpec, token: str, deployment: Deployment) -> Served:
    return Served(replace(spec, app=token, version=deployment.version), deployment.strategy)


def _overridden(one: Served, override: Override | None) -> Served:
    if override is None or override.version != one.spec.version:
        return one
    scaling = replace(one.spec.scaling, **override.settings)
    return replace(one, spec=replace(one.spec, scaling=scaling))

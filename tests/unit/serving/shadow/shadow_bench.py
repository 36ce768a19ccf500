"""A data plane with a shadow, whose turns, pool and shadow thread are run by the test, one at a time."""

from collections.abc import Callable
from dataclasses import replace

import serving_models as make
from execution_bench import Bench, loaded

from onecode_serving.domain.comparison import Findings
from onecode_serving.domain.routing import SHADOW, Arm
from onecode_serving.version import ServedVersion


class ShadowBench(Bench):
    """A bench whose first version is stable and whose second is its shadow."""

    def __init__(self, stable: ServedVersion, shadow: ServedVersion, *others: ServedVersion, workers: int = 1) -> None:
        super().__init__(stable, *others, workers=workers)
        self.thread: list[Callable[[], None]] = []
        self.rests: list[float] = []
        self.plane.shadows.submit = self.thread.append
        self.plane.shadows.rest = self.rests.append
        self.plane.install(shadow)
        self.model, self.stable, self.shadow = stable.model, stable, shadow
        self.set_shadow(shadow)

    def set_shadow(self, shadow: ServedVersion | None) -> None:
        """Serve with this shadow from now on, or with none."""
        route = self.plane.routes()[self.model]
        arm = None if shadow is None else Arm(0, 0, shadow.digest, shadow.release, SHADOW)
        self.plane.set_routes({**self.plane.routes(), self.model: replace(route, rollout="r", shadow=arm)})

    def do(self) -> None:
        """Let the shadow thread do one thing."""
        self.thread.pop(0)()

    def until_nothing_is_shown(self) -> None:
        """Turn, and let the shadow thread work, until both are quiet."""
        self.turns.until_quiet()
        while self.thread:
            self.do()
            self.turns.until_quiet()

    def found(self) -> Findings:
        """Return what was found so far."""
        self.plane.tick()
        return self.plane.shadows.view()[self.model].findings


def bench_of(shadow: bytes | None = None, **more: int) -> ShadowBench:
    """A regressor that adds 1, and a shadow that adds 2 unless another one is given."""
    return ShadowBench(loaded(make.plus(1)), loaded(shadow or make.plus(2), release=2), **more)

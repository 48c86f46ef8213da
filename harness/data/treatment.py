"""What one source goes through between its file and the archive: its steps, and what is asserted of the outcome."""

from __future__ import annotations

from dataclasses import dataclass

from harness.data.assertions.rules import Assertion
from harness.data.cleaning.steps import Stage, Step, kind_of, stage_of


@dataclass(frozen=True, slots=True)
class Treatment:
    """Steps and assertions of one source.

    Attributes:
        steps: in the order they are taken.
        assertions: asked of what the steps leave.
    """

    steps: tuple[Step, ...] = ()
    assertions: tuple[Assertion, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.steps or self.assertions)

    def stage(self, stage: Stage) -> tuple[Step, ...]:
        """The steps that work on names, lines or values."""
        return tuple(step for step in self.steps if stage_of(step) == stage)

    @property
    def changing(self) -> tuple[tuple[str, Step | Assertion], ...]:
        """What decides which values come out: every step, and the assertions that set rows aside."""
        aside = [one for one in self.assertions if one.severity == "set aside"]
        return (*((kind_of(step), step) for step in self.steps), *((one.kind, one) for one in aside))

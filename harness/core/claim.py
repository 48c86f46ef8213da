"""What is to be shown on a sealed holdout, and what follows from the answer; stated before the holdout is opened."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from harness.core.errors import UserError

MOST_CANDIDATES: Final = 5
"""More candidates would be a search on the holdout."""
MOST_LEVEL: Final = 0.2
RIVALS: Final = "rivals"


@dataclass(frozen=True, slots=True)
class Claim:
    """One model beats every always-on rival on one metric at one horizon.

    It is no part of an experiment's identity: cells and runs are the same whatever is claimed of them.

    Attributes:
        candidates: models that may be looked at in the holdout, at most five; () = the claimed one alone.
        model: the model the claim is about; "" = of the candidates, or else of all models, the one with the best
            development score.
        horizon: target periods ahead; None = 1 if the experiment asks for it, else its first.
        metric: what is compared; "" = the experiment's primary score.
        against: `rivals`: each of the always-on naive rivals.
        level: largest one-sided p-value at which the claim holds.
        if_confirmed, if_not: the decision that follows from each answer, in words.
        if_undecided: that if the claim cannot be decided; "" = as `if_not`.
    """

    candidates: tuple[str, ...] = ()
    model: str = ""
    horizon: int | None = None
    metric: str = ""
    against: str = RIVALS
    level: float = 0.05
    if_confirmed: str = ""
    if_not: str = ""
    if_undecided: str = ""

    def __post_init__(self) -> None:
        """Refuse a claim that no answer could settle."""
        if len(self.candidates) > MOST_CANDIDATES:
            raise UserError(
                "too many candidates for a holdout", value=", ".join(self.candidates), rule=f"at most {MOST_CANDIDATES}"
            )
        if self.candidates and self.model and self.model not in self.candidates:
            raise UserError(
                "the claimed model is no candidate", value=self.model, rule=f"one of {', '.join(self.candidates)}"
            )
        if self.against != RIVALS:
            raise UserError("a claim against something else", value=self.against, rule=f'"{RIVALS}"')
        if not 0.0 < self.level <= MOST_LEVEL:
            raise UserError("level of a claim", value=self.level, rule=f"above 0, at most {MOST_LEVEL}")

"""The section ``[baselines]`` of a branch study: what a merge has to be compared with at an equal cost of training."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Field, field_validator, model_validator

from isthmus.spec import DurationField, Spec
from isthmus.study.sections import distinct

__all__ = ["Baselines", "Ema", "Longer"]


class Ema(Spec):
    """An exponential moving average of each child's weights along its own way from k to k + s.

    It starts as the trunk at k and is moved ``every`` so often, and at k + s, by the share ``1 - 2**(-t / half_life)``
    towards the child as it then is, t being the time since it was last moved; ``half_life`` is the time after which a
    checkpoint counts half. Nothing is trained for it, but the child is stored at each of these steps. It sees those
    checkpoints alone: an average over every step with the same half-life holds many more of them, and cancels more of
    the noise between two that lie less than ``every`` apart; how much more, a smaller ``every`` shows.
    """

    every: DurationField
    half_life: DurationField

    @model_validator(mode="after")
    def _above_0(self) -> Ema:
        for name in ("every", "half_life"):
            if not getattr(self, name).amount:
                raise ValueError(f"expected {name} above 0, found {getattr(self, name)}")
        return self


def _several(value: object) -> object:
    return (value,) if isinstance(value, int | float) else value


class Longer(Spec):
    """One network that leaves the trunk at k and trains as long as all children together: n times s, for n of them.

    Its learning rate is ``factor`` times that of the schedule (several factors are a network each), which goes on by
    the step that the network is at, as does everything else of the recipe. It trains on the noise of the first child
    and treats the optimiser's buffers as that does, so at factor 1 it is that child gone on; where children have
    parts of the training set it has all of it. With ``go_on`` it trains on as long as the merge does.
    """

    factor: Annotated[tuple[Annotated[float, Field(gt=0, allow_inf_nan=False)], ...], BeforeValidator(_several)] = (
        1.0,
    )
    go_on: bool = False

    @field_validator("factor")
    @classmethod
    def _once(cls, value: tuple[Any, ...]) -> tuple[Any, ...]:
        return distinct(value, "factors")


class Baselines(Spec):
    """What else is evaluated where children are merged, in the table ``networks``.

    ``ensemble``: the mean of the probabilities that the children predict ("ensemble"), each with normalisation
    statistics of its own; it costs no training, and as many forward passes as there are children. Equal shares, also
    where the merge has ``weights``. ``ema``: an :class:`Ema` of each child ("ema child1"). ``longer``: a
    :class:`Longer` ("longer, lr x 0.1"), looked at each time it has trained for another s. Its ``after_steps`` count
    from where it has taken as many steps as the children together: they are negative before that, 0 there, and
    beyond it the row has cost as much training as that of the merge with the same number.
    """

    ensemble: bool = False
    ema: Ema | None = None
    longer: Longer | None = None

    @model_validator(mode="after")
    def _any(self) -> Baselines:
        if not self.ensemble and self.ema is None and self.longer is None:
            raise ValueError("expected at least one of ensemble, ema and longer, found none")
        return self

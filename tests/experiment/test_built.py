from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest

import harness as hs
from harness.core.errors import ExperimentError
from harness.experiment.built import refuse_misbuilt
from harness.record.home import Home

free: Any = hs
changed: Any = replace
"""What a user may write whom no checker of types holds back."""
ORIGINS = hs.Origins(hs.Schedule("month_end"), first=date(2017, 1, 31))
SOUND = hs.Experiment(
    name="by_hand",
    target=hs.Target(("orders",)),
    origins=ORIGINS,
    horizons=(1,),
    features=(hs.FeatureBlock("own", latest=(1, 2)),),
    models=(free.Recipe("tuned", "ets", {"trend": "add"}, search=hs.Search((hs.Domain("k", "int", 1, 4),))),),
    kpi=hs.Kpi("GBP m", under=3),
    claim=hs.Claim(horizon=1),
)


@pytest.mark.parametrize(
    ("part", "message"),
    [
        ({"horizons": 1}, "horizons = 1: not a tuple, each a whole number; write (1,)"),
        ({"horizons": (1, 1.5)}, "horizons[1] = 1.5: not a whole number"),
        ({"datasets": "uk_macro"}, "datasets = 'uk_macro': not a tuple, each text; write ('uk_macro',)"),
        ({"target": changed(SOUND.target, transform=free.Transform("foo"))}, "target.transform.kind = 'foo': one of"),
        ({"target": changed(SOUND.target, transform="level")}, "not hs.Transform; build it: hs.Transform(...)"),
        (
            {"target": changed(SOUND.target, transform=free.Transform("difference", 0))},
            "target.transform.span = 0: at l",
        ),
        ({"origins": changed(ORIGINS, every=free.Schedule("month end"))}, 'did you mean "month_end"?'),
        ({"origins": changed(ORIGINS, first="2017-01-31")}, "origins.first = '2017-01-31': not a date"),
        ({"origins": changed(ORIGINS, latency=1)}, "origins.latency = 1: not a timedelta"),
        ({"training": free.Training(refit_every=0)}, "training.refit_every = 0: at least 1"),
        (
            {"features": SOUND.features[0]},
            "features = FeatureBlock(...): not a tuple, each hs.FeatureBlock; write (Fea",
        ),
        ({"features": (free.FeatureBlock("own", latest=1),)}, "features[0].latest = 1: not a tuple"),
        ({"models": (changed(SOUND.models[0], span=(None,)),)}, "models[0].span = (None,): not 2 values"),
        ({"models": (changed(SOUND.models[0], search="tpe"),)}, "models[0].search = 'tpe': not hs.Search or None"),
        *(
            (
                {"models": (changed(SOUND.models[0], search=changed(SOUND.models[0].search, **{name: least - 1})),)},
                f"models[0].search.{name} = {least - 1}: at least {least}",
            )
            for name, least in {"trials": 2, "batch": 1, "folds": 1, "retune_every": 1, "patience": 0}.items()
        ),
        *(
            (
                {"models": (changed(SOUND.models[0], search=changed(SOUND.models[0].search, seconds=seconds)),)},
                f"models[0].search.seconds = {seconds}: a number above 0",
            )
            for seconds in (0, 0.0, -1.0, float("nan"))
        ),
        ({"kpi": free.Kpi("GBP m", under="3")}, "kpi.under = '3': not a number"),
        ({"kpi": free.Kpi("GBP m", under=float("nan"))}, "kpi.under = nan: a finite number"),
        ({"kpi": free.Kpi("GBP m", under=float("inf"))}, "kpi.under = inf: a finite number"),
        *(
            ({"target": changed(SOUND.target, outcome=free.OutcomeRule(kind, number))}, f'target.outcome = "{said}": ')
            for kind, number, said in (
                ("release", 0, "release 0"),
                ("release", 10**9, "release 1000000000"),
                ("after", -3, "after -3 days"),
                ("after", 10**9, "after 1000000000 days"),
            )
        ),
        ({"kpi": free.Kpi("GBP m", under=-3.0)}, "kpi.under = -3.0: at least 0"),
        ({"pseudo_real_time": "yes"}, "pseudo_real_time = 'yes': not True or False"),
        ({"folder": Path("x")}, "not text"),
    ],
)
def test_a_field_that_holds_something_else_is_told_with_its_value(part: dict[str, object], message: str) -> None:
    refuse_misbuilt(SOUND)
    refuse_misbuilt(changed(SOUND, horizons=[1, 2]))
    with pytest.raises(ExperimentError) as caught:
        refuse_misbuilt(changed(SOUND, **part))
    assert len(caught.value.problems) == 1
    assert message in caught.value.problems[0]


def test_every_such_field_is_told_before_anything_is_read(home: Home) -> None:
    with pytest.raises(hs.UserError, match=r"2 problem\(s\)"):
        hs.backtest(changed(SOUND, horizons=1, seed="one"), home=home.root)

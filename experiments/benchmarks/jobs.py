"""The comparisons that `measure.py` makes: who does what on which panel, and what must come to the same."""

from __future__ import annotations

from dataclasses import dataclass, replace

SERIES_AND_ORIGIN = "series and origin"
ONE_ORIGIN, TWO_ORIGINS = ("--origins", "1"), ("--origins", "2")


@dataclass(frozen=True, slots=True)
class Side:
    """One way of doing a job.

    Attributes:
        name: in the table.
        script: in this folder, with what it is told before panel and file.
        told: what it is told after them.
        alike: whether it is to come to the same as ours.
        packages: whether ours is also shown the peers' packages, after the project's own.
    """

    name: str
    script: tuple[str, ...]
    told: tuple[str, ...] = ()
    alike: bool = True
    packages: bool = False


@dataclass(frozen=True, slots=True)
class Job:
    """A comparison.

    Attributes:
        name: what `--only` calls it.
        title: heading of its section.
        panel: its letter.
        ours, peers: who does it.
        stages: those that count; () = all.
        compared: figures that must agree, by the end of their name.
        agree: relative difference up to which they do.
        series: of the panel; 0 = all.
        unit: what its work is counted by; "" = nothing.
    """

    name: str
    title: str
    panel: str
    ours: Side
    peers: tuple[Side, ...]
    stages: tuple[str, ...] = ()
    compared: tuple[str, ...] = ("n", "mae", "rmse", "smape")
    agree: float = 1e-9
    series: int = 0
    unit: str = ""


def boosting(panel: str, title: str, told: tuple[str, ...] = ()) -> Job:
    """LightGBM on a panel; rolling means differ in their last bits, and bins of many rows by their sample.

    Without a code of the series, as mlforecast has it by default. Fits at many origins are spread over processes, a
    single one over threads.
    """
    ours = Side("ours", ("ours.py", "boosting"), told)
    threaded = Side("ours, one process", ("ours.py", "boosting"), (*told, "--threads", "2"))
    documented = Side("mlforecast, as documented", ("peer_boosting.py",), told)
    fixed = Side("mlforecast, our parameters", ("peer_boosting.py",), (*told, "--as", "fixed"))
    if told == ONE_ORIGIN:
        ours, others = Side("ours", threaded.script, threaded.told), (documented, fixed)
    else:
        others = (threaded, documented, fixed)
    if panel == "A":
        darts = Side("darts, our parameters", ("peer_darts.py", "boosting"), told)
        others += (darts, Side("skforecast, our parameters", ("peer_skforecast.py", "boosting"), told))
    return Job(f"boosting-{panel}", f"Global LightGBM, 200 trees, {title}", panel, ours, others, agree=0.01)


def coded(panel: str, title: str, told: tuple[str, ...] = ()) -> Job:
    """The same with the series as a categorical code, the peer given all that ours has."""
    ours = Side("ours", ("ours.py", "boosting"), (*told, "--coded", "--threads", "2"))
    peer = Side("mlforecast, our parameters and code", ("peer_boosting.py",), (*told, "--as", "coded"))
    heading = f"Global LightGBM told the series, 200 trees, {title}"
    return Job(f"boosting-{panel}-coded", heading, panel, ours, (peer,), agree=0.01)


def rivals(panel: str, title: str, *further: Side) -> Job:
    """Naive rivals on a panel."""
    ours, peer = Side("ours", ("ours.py", "rivals")), Side("statsforecast + utilsforecast", ("peer_rivals.py",))
    heading = f"Four naive rivals and their scores, {title}"
    return Job(f"rivals-{panel}", heading, panel, ours, (peer, *further), unit=SERIES_AND_ORIGIN)


def rivals_slow() -> Job:
    """Naive rivals by peers that take each series by itself: so few series that they come to an end."""
    whole = rivals("B", "12 origins x 12 days ahead")
    slow = (
        Side("darts", ("peer_darts.py", "rivals")),
        Side("sktime", ("peer_sktime.py", "rivals")),
    )
    return replace(whole, name="rivals-slow", peers=(*whole.peers, *slow), series=200)


def smoothing() -> Job:
    """Exponential smoothing, its components chosen, per fit; what is compared has no damped trends."""
    told = ("--origins", "3")
    return Job(
        "ets",
        "Exponential smoothing with components chosen by the corrected AIC, 3 origins x 12 days ahead",
        "B",
        Side("ours, auto_ets", ("ours.py", "smoothing"), (*told, "--way", "auto"), packages=True),
        (
            Side("ours, ets (statsmodels)", ("ours.py", "smoothing"), (*told, "--way", "likelihood"), alike=False),
            Side("statsforecast", ("peer_ets.py", "auto"), told),
            Side("sktime (10 asked)", ("peer_sktime.py", "ets"), (*told, "--asked", "10"), alike=False),
        ),
        series=100,
        unit="fit",
    )


def simple_smoothing() -> Job:
    """Simple exponential smoothing at many origins: one estimate and its states, or an estimate each."""
    told, ours = ("--origins", "100"), ("ours.py", "smoothing")
    once, every = (*told, "--once", "--way"), (*told, "--way")
    return Job(
        "ses",
        "Simple exponential smoothing, 100 origins x 12 days ahead",
        "B",
        Side("ours, auto_ets, estimated once", ours, (*once, "auto-simple"), packages=True),
        (
            Side("ours, ets, estimated once, states carried", ours, (*once, "likelihood-simple"), alike=False),
            Side("ours, auto_ets, at every origin", ours, (*every, "auto-simple"), alike=False, packages=True),
            Side("ours, ets, at every origin", ours, (*every, "likelihood-simple"), alike=False),
            Side("statsforecast, estimated once", ("peer_ets.py", "once"), told),
            Side("statsforecast, at every origin", ("peer_ets.py", "simple"), told, alike=False),
        ),
        series=100,
        unit=SERIES_AND_ORIGIN,
    )


JOBS = (
    rivals(
        "B",
        "12 origins x 12 days ahead",
        Side("statsforecast + fev", ("peer_rivals.py",), ("--scores", "fev")),
        Side("functime, the first two", ("peer_functime.py", "rivals")),
    ),
    rivals_slow(),
    rivals("C", "12 origins x 12 months ahead"),
    boosting("A", "12 origins"),
    boosting("B", "2 origins", TWO_ORIGINS),
    boosting("C", "1 origin", ONE_ORIGIN),
    coded("A", "12 origins"),
    coded("B", "2 origins", TWO_ORIGINS),
    Job(
        "replay",
        "What was known at 200 origins, as matrices",
        "R",
        Side("ours, one replay", ("ours.py", "replay")),
        (
            Side("DuckDB, intervals", ("peer_replay.py", "intervals")),
            Side("DuckDB, newest by aggregate (10 asked)", ("peer_replay.py", "newest"), ("--queries", "10")),
            Side("DuckDB, window query (10 asked)", ("peer_replay.py", "window"), ("--queries", "10")),
            Side("DuckDB, ASOF join (3 asked)", ("peer_replay.py", "asof"), ("--queries", "3")),
            Side("pandas, merge_asof (3 asked)", ("peer_replay.py", "merge_asof"), ("--queries", "3")),
        ),
        stages=("prepare", "replay"),
        compared=("known", "total"),
    ),
    smoothing(),
    simple_smoothing(),
)

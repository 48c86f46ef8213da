"""`harness model-card`: a page of Markdown on what a model is, how it was judged, and what is not shown."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import polars as pl

from harness.core.errors import UnknownNameError, UserError
from harness.core.scale import OPERATIONS
from harness.record.runs import plan_opened
from harness.report.audit import audit_line
from harness.report.card_data import treatment
from harness.report.card_search import candidates, plain, reachable_blocks, searched, searched_names
from harness.report.data_lines import SHARES, data_lines
from harness.report.facts import ON_LATEST_ROWS, ON_REVISED_DATA, PSEUDO_REAL_TIME, Facts, facts_of, moment_text
from harness.report.holdout import run_line
from harness.report.markdown import bullets, grid, text
from harness.report.opening import opening_rows
from harness.report.run import Run
from harness.report.text import megabytes, number, p_value, skill
from harness.studies.verdict import NOT_PROVABLE


def model_card(run: Run, model: str = "") -> str:
    """The card of one model of a run.

    Args:
        run: a finished run.
        model: its name; "" = the claimed one in an opening, else the only one that is no rival, else the one with the
            best mean rank over the horizons.

    Raises:
        UnknownNameError: the run has no such model.
        UserError: the run is not finished, or has rivals only.
    """
    facts, board = facts_of(run.manifest), run.leaderboard()
    recipe = _recipe(run.manifest, _chosen(board, facts, model, _claimed(run.manifest)))
    name = str(recipe["name"])
    parts = [
        _head(facts, recipe),
        _section("Question and target", _question(facts)),
        _section("The model", _model(run.manifest, recipe, facts)),
        _section("Training window", _training(run, facts, recipe)),
        _section("Data", _data(run, facts)),
        _section("Search", searched(run, name)),
        _section("Scores", _scores(board, facts, name)),
        _section("Uncertainty", _uncertainty(run, board, name)),
        _section("Leakage audit", [text(audit_line(run.audit(), facts.name, plan_opened(run.manifest)))]),
        *_holdout(run, facts),
        _section("Limits", _limits(facts, board, name)),
        _section("How to reproduce", _again(run, facts)),
    ]
    return "\n\n".join(parts) + "\n"


def _section(title: str, lines: Iterable[str]) -> str:
    return "\n\n".join([f"## {title}", *lines])


def _chosen(board: pl.DataFrame, facts: Facts, model: str, claimed: str) -> str:
    if model:
        if model not in (*facts.models, *facts.rivals):
            raise UnknownNameError("model of this run", model, (*facts.models, *facts.rivals))
        return model
    if claimed:
        return claimed
    if not facts.models:
        raise UserError("this run has naive rivals only", value=facts.run_id, fix="name one: --model last_value")
    own = board.filter(~pl.col("is_rival")).group_by("model", maintain_order=True).agg(pl.col("rank").mean())
    return str(own.sort("rank", maintain_order=True)["model"][0])


def _recipe(manifest: Mapping[str, object], name: str) -> Mapping[str, object]:
    models = _mapping(manifest.get("experiment")).get("models")
    found = [one for one in models if isinstance(one, dict)] if isinstance(models, list) else []
    return next(one for one in found if one.get("name") == name)


def _head(facts: Facts, recipe: Mapping[str, object]) -> str:
    made = facts.finished_at or facts.started_at
    name = text(recipe["name"])
    return f"# Model card: {name} in {text(facts.name)}\n\nCreated {text(made)} by run `{facts.run_id}`."


def _question(facts: Facts) -> Iterator[str]:
    if facts.question:
        yield text(facts.question)
    steps = ", ".join(map(str, facts.horizons))
    yield bullets(
        f"target: {facts.target}",
        f"truth: {facts.outcome_rule} release",
        f"horizons: {steps} target periods after the one that contains the origin",
        f"scored origins: {facts.first_scored} to {facts.last_scored} ({facts.zone})",
        f"cost of an error: {facts.kpi}" if facts.kpi else "",
    )


def _model(manifest: Mapping[str, object], recipe: Mapping[str, object], facts: Facts) -> Iterator[str]:
    space = searched_names(recipe)
    yield bullets(
        f"kind: {_kind(recipe, space)}",
        f"forecasts the {recipe.get('functional')}" if recipe.get("functional") else "",
        f"answers of the source: {recipe.get('source')}" if recipe.get("source") else "",
        f"own code: {recipe.get('code')}" if recipe.get("code") else "",
        f"where it fails or abstains: {recipe.get('fallback')}" if recipe.get("fallback") else "",
    )
    params = recipe.get("params")
    fixed = [(name, plain(value)) for name, value in params if name not in space] if isinstance(params, list) else []
    if fixed:
        yield grid(["fixed parameter" if space else "parameter", "value"], fixed)
    if space:
        yield text(
            f"Searched, so not to be read from the experiment file: {', '.join(space)}. What was used is under Search."
        )
    blocks = _mapping(manifest.get("experiment")).get("features")
    seen = reachable_blocks(recipe)
    if isinstance(blocks, list) and seen:
        if seen != recipe.get("features"):
            yield "Feature blocks that a search may choose; those it chose are under Search:"
        chosen = [block for block in blocks if isinstance(block, dict) and block.get("name") in seen]
        yield grid(["feature block", "series", "transform", "columns"], [_block(block) for block in chosen])
    steps = recipe.get("steps")
    if isinstance(steps, list) and steps:
        yield "Steps: " + ", ".join(text(step.get("kind")) for step in steps if isinstance(step, dict))
    if recipe.get("name") in facts.on_revised_data:
        yield text(f"{ON_REVISED_DATA[0].upper()}{ON_REVISED_DATA[1:]}.")
    if recipe.get("name") in facts.on_latest_rows:
        yield text(f"{ON_LATEST_ROWS[0].upper()}{ON_LATEST_ROWS[1:]}.")


def _kind(recipe: Mapping[str, object], space: Sequence[str]) -> str:
    kinds = [str(one["kind"]) for one in (recipe, *candidates(recipe))]
    return f"searched among {', '.join(dict.fromkeys(kinds))}" if "kind" in space else kinds[0]


def _block(block: Mapping[str, object]) -> list[object]:
    transform = _mapping(block.get("transform"))
    columns = [f"{name} {block[name]}" for name in (*OPERATIONS, "calendar") if block.get(name)]
    columns += ["age"] if block.get("age") else []
    return [block.get("name"), block.get("series") or "the target", transform.get("kind"), "; ".join(columns)]


def _training(run: Run, facts: Facts, recipe: Mapping[str, object]) -> Iterator[str]:
    training = _mapping(_mapping(run.manifest.get("experiment")).get("training"))
    rolling = training.get("rolling")
    rows = run.origins().filter("scored")
    mine = run.statuses().filter((pl.col("model") == recipe["name"]) & pl.col("trained_first").is_not_null())
    ends = (*mine["trained_first"].sort()[:1], *mine["trained_last"].sort()[-1:])
    span = " to ".join(moment_text(moment, facts.zone) for moment in ends)
    periods = sorted(rows["target_periods"].to_list())
    yield bullets(
        f"window: the newest {rolling} target periods" if rolling else "window: expanding, everything matured",
        f"refitted every {recipe.get('refit_every') or training.get('refit_every')} origins",
        f"fitted at origins {span} ({facts.zone})" if span else "nothing is fitted",
        f"at least {training.get('minimum')} distinct matured target periods, else it abstains",
        f"matured target periods at the scored origins: {periods[0]} to {periods[-1]}" if periods else "",
        f"last scored origin: {facts.last_scored}",
    )


def _data(run: Run, facts: Facts) -> Iterator[str]:
    head = ["series", "role", "observed", "by rule", "assumed", "pseudo real time", "known through", "licence"]
    told = ("series", "role", *SHARES, "known", "licence")
    yield grid(head, [[line[name] for name in told] for line in data_lines(run.inputs())])
    yield "Shares are of periods, by how the date of their earliest value is known."
    if facts.datasets:
        keys = ("name", "title", "origin", "licence", "attribution")
        yield grid(keys, [[one.get(key, "") for key in keys] for one in facts.datasets])
    yield bullets(f"change file: {facts.archive.get('change_file')}", *(_batch(one) for one in _batches(run.manifest)))
    yield from treatment(run)


def _batch(batch: Mapping[str, object]) -> str:
    return (
        f"batch {batch.get('batch')}: {batch.get('source')}, {batch.get('rows_in')} rows, sha256 {batch.get('sha256')}"
    )


def _batches(manifest: Mapping[str, object]) -> list[Mapping[str, object]]:
    found = manifest.get("batches")
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def _scores(board: pl.DataFrame, facts: Facts, name: str) -> Iterator[str]:
    head = ["h", "rank", facts.primary, "best rival", "its value", "skill", "p", "verdict", "n", "by reference"]
    mine = board.filter(pl.col("model") == name).sort("horizon")
    yield grid(
        head,
        [
            [
                one["horizon"], one["rank"], number(one["value"]), one["best_rival"], number(one["best_rival_value"]),
                skill(one["skill"]), p_value(one["p_better_than_naive"]), one["verdict"], one["n"], one["n_reference"],
            ]
            for one in mine.iter_rows(named=True)
        ],
    )  # fmt: skip
    yield "Skill is against the best naive rival, known only afterwards; p is the largest over all naive rivals."


def _uncertainty(run: Run, board: pl.DataFrame, name: str) -> Iterator[str]:
    mine = run.against_rivals().filter(pl.col("model") == name).sort("horizon", "rival")
    if mine.height:
        yield grid(
            ["h", "rival", "ratio", "Diebold-Mariano", "p (one-sided)", "origins", "instead"],
            [
                [
                    one["horizon"], one["rival"], number(one["ratio"]), number(one["dm_statistic"]),
                    p_value(one["p_value"]), one["n_origins"], one["fallback"] or "",
                ]
                for one in mine.iter_rows(named=True)
            ],
        )  # fmt: skip
    thirds = run.scores().filter(
        (pl.col("model") == name) & pl.col("series_id").is_null() & pl.col("stretch").is_not_null()
    )
    if thirds.height:
        metric = str(board["metric"][0])
        shown = [
            [one["horizon"], one["stretch"], number(one.get(metric)), one["n"]] for one in thirds.iter_rows(named=True)
        ]
        yield grid(["h", "third of the scored origins", metric, "n"], shown)


def _limits(facts: Facts, board: pl.DataFrame, name: str) -> Iterator[str]:
    verdicts = board.filter(pl.col("model") == name)["verdict"].to_list()
    yield (
        bullets(
            PSEUDO_REAL_TIME if facts.pseudo_real_time else "",
            "better than naive is shown at no horizon" if "better than naive" not in verdicts else "",
            "its data cut-off is unknown: differences at short horizons measure information"
            if name in facts.unknown_cutoff
            else "",
            *(f"warning: {warned} ({cells} cells)" for warned, cells in facts.warnings.get(name, {}).items()),
            *(note for note in facts.functional_notes if note.startswith(f"{name} ")),
        )
        or "None besides the following."
    )
    yield "Not provable by anything in this run:"
    yield bullets(*NOT_PROVABLE)


def _holdout(run: Run, facts: Facts) -> list[str]:
    line = run_line(run.home, run.manifest, facts.zone)
    told = bullets(*(f"{name}: {said}" for name, said in opening_rows(run.manifest)))
    said = [part for part in (told, text(line.removeprefix("Holdout: "))) if part]
    return [_section("Holdout", said)] if said else []


def _claimed(manifest: Mapping[str, object]) -> str:
    """The model that an opening is about; "" = the run is none."""
    return str(_mapping(_mapping(manifest.get("holdout")).get("claim")).get("model") or "")


def _again(run: Run, facts: Facts) -> Iterator[str]:
    version = str(facts.code.get("version") or "outside a checkout")
    plan = plan_opened(run.manifest)
    if plan:
        yield (
            "A holdout opens once, so its run is not derived again. The opening replayed development and found it bit "
            "for bit as recorded; the same command prints the standing answer, and the record can be verified:"
        )
        yield f"```console\n$ harness holdout open --plan {plan}\n$ harness verify\n```"
    else:
        yield f"```console\n$ harness reproduce {run.id}\n$ harness verify\n$ harness lineage {run.id}\n```"
    dirty = "+changes" in version
    main = [name for name in ("polars", "numpy", "scipy", "lightgbm", "statsmodels") if name in facts.packages]
    computed = ", ".join(str(facts.platform.get(name)) for name in ("machine", "libc", "python"))
    yield bullets(
        f"code: {version}" + (", with the differences kept in code.diff beside the run" if dirty else ""),
        f"code hash: {facts.code.get('hash')}",
        "packages: " + ", ".join(f"{name} {facts.packages[name]}" for name in main),
        f"numeric platform (machine, libc, Python): {computed}",
        f"peak memory: {megabytes(facts.measured.get('peak_memory_bytes'))}",
    )


def _mapping(value: object) -> Mapping[str, object]:
    return value if isinstance(value, dict) else {}

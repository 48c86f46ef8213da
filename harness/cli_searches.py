"""The verbs of the command `harness` that show what was searched, and how much."""

from __future__ import annotations

import argparse

from harness.cli_shared import RUN_HELP, Add, experiment_file, home_of
from harness.core.errors import UserError


def add_search_verbs(add: Add) -> None:
    """Add the verbs to a parser.

    Args:
        add: makes the parser of a verb from its name, what it calls, and its help.
    """
    spaces = add("spaces", _spaces, "show what a run searched, or (diff RUN1 RUN2) what the second searched otherwise")
    spaces.add_argument("runs", metavar="RUN", nargs="+", help=f"{RUN_HELP}; or the word diff and two runs")
    trials = add(
        "trials", _trials, "show the best trial of every search of a run beside its defaults, or (--all) every trial"
    )
    trials.add_argument("run", metavar="RUN", help=RUN_HELP)
    trials.add_argument("--model", metavar="NAME", default="", help="of this model only")
    trials.add_argument(
        "--all",
        action="store_true",
        help="print every trial, failed ones too, with fold values, time and reason",
    )
    effort = add("effort", _effort, "count what was searched and looked at on a target so far")
    effort.add_argument("target", metavar="TARGET", help="a series, or an experiment whose target is meant")


def _spaces(args: argparse.Namespace) -> None:
    from harness.record.trials import searches_of
    from harness.report.run import Run
    from harness.report.search_text import diff_text, spaces_text
    from harness.report.searches import spaces_diff

    home = home_of(args)
    if args.runs[0] == "diff":
        if len(args.runs) != 3:
            raise UserError(
                "spaces diff compares two runs",
                value=f"{len(args.runs) - 1} run(s): {' '.join(args.runs[1:]) or 'none'}",
                fix="harness spaces diff RUN1 RUN2",
            )
        before, after = (searches_of(Run(name, home).manifest, home) for name in args.runs[1:])
        print(diff_text(spaces_diff(before, after)))
    elif len(args.runs) == 1:
        print(spaces_text(Run(args.runs[0], home)))
    else:
        raise UserError(
            "the searches of one run at a time",
            value=f"{len(args.runs)} runs: {' '.join(args.runs)}",
            fix="harness spaces RUN; to compare two: harness spaces diff RUN1 RUN2",
        )


def _trials(args: argparse.Namespace) -> None:
    from harness.report.run import Run
    from harness.report.search_text import trials_text

    print(trials_text(Run(args.run, home_of(args)), model=args.model, everything=args.all))


def _effort(args: argparse.Namespace) -> None:
    from harness.experiment.launch import target_fingerprints
    from harness.report.search_text import effort_text

    home = home_of(args)
    file = experiment_file(args.target)
    found = target_fingerprints(file if file.exists() else args.target, home)
    print(effort_text(home, args.target, found))

"""The verbs of the command `harness` for sealed holdouts, and for the ledger that tells of them."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from harness.core.errors import UserError

if TYPE_CHECKING:
    from harness.record.home import Home

FAILED = 1
Verb = Callable[[argparse.Namespace], int | None]
Add = Callable[[str, Verb, str], argparse.ArgumentParser]


def add_holdout_verbs(add: Add) -> None:
    """Add the verbs to a parser.

    Args:
        add: makes the parser of a verb from its name, what it calls, and its help.
    """
    holdout = add("holdout", _nothing, "seal the last stretch of the data, and open it once, for a claim made before")
    _add_parts(holdout, "holdout", HOLDOUT)
    ledger = add("ledger", _nothing, "check the record of seals, plans, openings and refusals")
    _add_parts(ledger, "ledger", LEDGER)


def _add_parts(parser: argparse.ArgumentParser, name: str, parts: dict[str, tuple[Verb, str, Options]]) -> None:
    """Add the sub-verbs of a verb; `--home` may stand before or after them."""
    verbs = parser.add_subparsers(title="what", metavar="WHAT", required=True)
    for part, (verb, text, options) in parts.items():
        one = verbs.add_parser(part, help=text, description=f"{text[0].upper()}{text[1:]}.")
        one.add_argument("--home", metavar="DIR", default=argparse.SUPPRESS, help="home folder")
        one.set_defaults(verb=verb, command=f"{name} {part}")
        options(one)


def _seal_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("experiments", metavar="EXPERIMENT", nargs="*", help="experiments whose targets are sealed")
    parser.add_argument(
        "--from", dest="day", metavar="DATE", default="", help="first sealed day (2019-01-01), in the target's zone"
    )
    who = parser.add_mutually_exclusive_group()
    who.add_argument("--custodian", metavar="FILE", type=Path, help="public part of the keys of who keeps the seal")
    phrase = "a passphrase of at least 12 characters opens it (HARNESS_PASSPHRASE, or asked for)"
    who.add_argument("--passphrase", action="store_true", help=phrase)
    parser.add_argument(
        "--with-copies", action="store_true", help="seal whole datasets of what repeats a sealed series along"
    )
    parser.add_argument("--dry-run", action="store_true", help="only list what would be sealed")
    parser.add_argument(
        "--abandon", action="store_true", help="give up a sealing that was interrupted before anything was taken away"
    )
    _add_keys(parser)


def _seal(args: argparse.Namespace) -> None:
    from harness.experiment.sealing import seal_experiments
    from harness.report.sealing import sealing_text
    from harness.studies.holdout.seal import Lock, Sealing, custodian_from

    told = list[Sealing]()

    def tell(ahead: Sealing) -> None:
        told.append(ahead)
        print(sealing_text(ahead), flush=True)

    if args.abandon:
        _abandon(args)
        return
    if not args.experiments or not args.day:
        raise UserError(
            "it is not said what is sealed, or from when",
            value=" ".join(args.experiments) or "no experiment",
            rule="harness holdout seal --from DATE EXPERIMENT...",
        )
    done = seal_experiments(
        [_experiment_file(one) for one in args.experiments],
        args.day,
        _home(args),
        lock=Lock(
            custodian_from(args.custodian) if args.custodian else None,
            args.passphrase,
            keys=args.keys,
            along=args.with_copies,
        ),
        dry_run=args.dry_run,
        told=tell,
    )
    print(sealing_text(done, told=bool(told)))
    if done.done and args.keys:
        print(f"later data need the signing key: set HARNESS_KEYS={args.keys.absolute()} for every command from now on")


def _abandon(args: argparse.Namespace) -> None:
    from harness.studies.holdout.abandoning import abandon

    print(f"given up: {', '.join(abandon(_home(args)))}; nothing was sealed, nothing was taken away")


def _status_options(parser: argparse.ArgumentParser) -> None:
    _add_keys(parser)


def _status(args: argparse.Namespace) -> int | None:
    from harness.report.sealing import status_text
    from harness.studies.holdout.status import status

    found = status(_home(args), keys=args.keys)
    print(status_text(found))
    return FAILED if found.problems else None


def _keys_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", metavar="FILE", required=True, type=Path, help="the public part, for who seals")
    _add_keys(parser)


def _keys(args: argparse.Namespace) -> None:
    from harness.studies.holdout.custodian import write_public_part

    place = write_public_part(_home(args), args.out, keys=args.keys)
    print(f"wrote {args.out}: give it to whoever seals (harness holdout seal ... --custodian {args.out})")
    print(f"the private keys stay in {place}: keep a copy, nothing sealed for you opens without them")


def _request_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--plan", metavar="ID", required=True, help="the plan, or the beginning of its id")
    parser.add_argument("--out", metavar="FILE", required=True, type=Path, help="the request, for the custodian")
    _add_keys(parser)


def _request(args: argparse.Namespace) -> None:
    from harness.studies.holdout.custodian import write_request

    head = write_request(_home(args), args.plan, args.out, keys=args.keys)
    print(f"wrote {args.out}: send it to the custodian (harness holdout grant {args.out} --out grant.json)")
    print(f"ledger head {head}")


def _grant_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("request", metavar="REQUEST", type=Path, help="what `harness holdout request` wrote")
    parser.add_argument("--out", metavar="FILE", required=True, type=Path, help="the grant, for who asked")
    parser.add_argument("--head", metavar="HASH", default="", help="a ledger head noted earlier that must be in it")
    parser.add_argument(
        "--again", action="store_true", help="although the seal was opened, or this or another plan was granted, before"
    )
    _add_keys(parser)


def _grant(args: argparse.Namespace) -> None:
    from harness.studies.holdout.granting import write_grant

    done = write_grant(_home(args), args.request, args.out, head=args.head, again=args.again, keys=args.keys)
    print(f"plan {done.plan}: {done.claim}")
    print(f"ledger: {done.checked}")
    print(f"by other plans opened before: {done.openings}, granted here before: {done.earlier}")
    if done.repeated:
        print(
            f"this plan was granted before: {done.repeated} time{'s' * (done.repeated > 1)}; only a crash needs another"
        )
    for one in done.became:
        print(f"before: {one}")
    print(f"wrote {args.out}: whoever asked opens with harness holdout open --plan {done.plan} --grant {args.out}")


def _plan_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("experiment", metavar="EXPERIMENT", help="name of experiments/NAME.toml, or a file")


def _plan(args: argparse.Namespace) -> None:
    from harness.experiment.holdouts import planned
    from harness.report.opening import plan_text

    print(plan_text(planned(_experiment_file(args.experiment), _home(args), tell=print)))


def _open_options(parser: argparse.ArgumentParser) -> None:
    parser.epilog = "A seal with a passphrase opens with that of HARNESS_PASSPHRASE, else it is asked for."
    parser.add_argument("--plan", metavar="ID", required=True, help="the plan, or the beginning of its id")
    parser.add_argument("--grant", metavar="FILE", type=Path, help="what the custodian sent, where the seal has one")
    parser.add_argument("--again", action="store_true", help="although it was opened before: counted, exploratory")
    parser.add_argument("--reason", metavar="TEXT", default="", help="why it is opened again, or given up")
    parser.add_argument(
        "--give-up",
        action="store_true",
        help="declare an opening void that was begun and cannot be finished: it counts all the same (needs --reason)",
    )
    _add_keys(parser)


def _open(args: argparse.Namespace) -> None:
    from harness.experiment.holdouts import opened
    from harness.report.run import Run
    from harness.report.summary import summary

    home = _home(args)
    if args.give_up:
        _give_up(args)
        return
    run_id = opened(args.plan, home, grant=args.grant, keys=args.keys, again=args.again, reason=args.reason)
    print(summary(Run(run_id, home)))


def _give_up(args: argparse.Namespace) -> None:
    from harness.studies.holdout.abandoning import give_up_opening

    plan = give_up_opening(_home(args), args.plan, args.reason, keys=args.keys)
    print(f"given up: the opening of plan {plan} is void, and counts; another plan opens with --again, as exploratory")


def _roll_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--to", metavar="DATE", required=True, help="newer data stay sealed from this day on")
    parser.add_argument("--seal", metavar="ID", default="", help="the seal, where the home has several")
    parser.add_argument("--grant", metavar="FILE", type=Path, help="what the custodian sent, where the seal has one")
    _add_keys(parser)


def _roll(args: argparse.Namespace) -> None:
    from harness.experiment.holdouts import rolled

    done = rolled(args.to, _home(args), seal=args.seal, grant=args.grant, keys=args.keys)
    print(f"seal {done.old} is over: what was published before {done.to} is open for development")
    rows = f"{done.rows} row{'s' * (done.rows != 1)}"
    print(f"seal {done.new}: everything from {done.to} on stays sealed, {rows}, under a new key")


def _verify_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--head", metavar="HASH", default="", help="a head noted earlier, from a report or this command"
    )


def _verify(args: argparse.Namespace) -> int | None:
    from harness.report.holdout import check_text
    from harness.studies.holdout.status import verified

    done = verified(_home(args), args.head)
    print(check_text(done, args.head))
    return FAILED if done.broken else None


def _add_keys(parser: argparse.ArgumentParser) -> None:
    where = "folder of keys, outside the home (default: HARNESS_KEYS, else ~/.config/harness/keys)"
    parser.add_argument("--keys", metavar="DIR", type=Path, help=where)


def _nothing(args: argparse.Namespace) -> None:
    """Never reached: a sub-verb is required."""


def _experiment_file(name: str) -> Path:
    """The file of an experiment: a path as it is, a bare name in ./experiments."""
    path = Path(name)
    return path if path.suffix == ".toml" or path.parent != Path() else Path("experiments") / f"{name}.toml"


def _home(args: argparse.Namespace) -> Home:
    from harness.record.home import open_home

    return open_home(args.home)


Options = Callable[[argparse.ArgumentParser], None]
HOLDOUT: dict[str, tuple[Verb, str, Options]] = {
    "seal": (_seal, "seal what the targets of experiments use, from a day on", _seal_options),
    "status": (
        _status,
        "tell what is sealed, and whether vault, ledger and keys are as they should be",
        _status_options,
    ),
    "keys": (_keys, "make a custodian's keys, and write their public part (on the custodian's machine)", _keys_options),
    "request": (_request, "ask the custodian of a seal to let a plan open it", _request_options),
    "grant": (_grant, "check a request and grant it (on the custodian's machine)", _grant_options),
}
HOLDOUT |= {
    "plan": (_plan, "freeze what is claimed of an experiment's holdout, and say what it can show", _plan_options),
    "open": (_open, "open a holdout by its plan, once, and print the verdict", _open_options),
    "roll": (
        _roll,
        "release the spent stretch into development; newer data stay sealed under a new key",
        _roll_options,
    ),
}
LEDGER: dict[str, tuple[Verb, str, Options]] = {
    "verify": (
        _verify,
        "check every line of the ledger, and the vaults' lists and the plans against it (files: harness verify)",
        _verify_options,
    ),
}

"""The verbs of the command `harness` for sealed holdouts, and for the ledger that tells of them."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from harness.cli_shared import EXPERIMENT_HELP, FAILED, Add, Verb, experiment_file, home_of, path_named
from harness.core.errors import UserError

if TYPE_CHECKING:
    from harness.record.home import Home


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
    who.add_argument(
        "--custodian", metavar="FILE", type=path_named, help="public part of the keys of who keeps the seal"
    )
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
    from harness.studies.holdout.locking import Lock, custodian_from
    from harness.studies.holdout.seal import Sealing

    told = list[Sealing]()

    def tell(ahead: Sealing) -> None:
        told.append(ahead)
        print(sealing_text(ahead), flush=True)

    if args.abandon:
        _abandon(args)
        return
    if not args.experiments or not args.day:
        missing = ["no experiment"] * (not args.experiments) + ["no day (--from DATE)"] * (not args.day)
        raise UserError(
            "it is not said what is sealed, and from when",
            value=", ".join(missing),
            rule="what the targets of the named experiments use is sealed from one day on",
            fix="for example: harness holdout seal --from 2019-01-01 uk_inflation",
        )
    done = seal_experiments(
        [experiment_file(one) for one in args.experiments],
        args.day,
        home_of(args),
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

    options = ("--from", "--custodian", "--passphrase", "--with-copies", "--dry-run", "--keys")
    given = (args.day, args.custodian, args.passphrase, args.with_copies, args.dry_run, args.keys)
    idle = [*args.experiments, *(name for name, one in zip(options, given, strict=True) if one)]
    if idle:
        raise UserError(
            "nothing is sealed when a sealing is given up",
            value=", ".join(idle),
            rule="--abandon goes alone: it gives up what was begun, whatever that was",
            fix="leave the others out",
        )

    print(f"given up: {', '.join(abandon(home_of(args)))}; nothing was sealed, nothing was taken away")


def _status_options(parser: argparse.ArgumentParser) -> None:
    _add_keys(parser)


def _status(args: argparse.Namespace) -> int | None:
    from harness.report.sealing import status_text
    from harness.studies.holdout.status import status

    found = status(home_of(args), keys=args.keys)
    print(status_text(found))
    return FAILED if found.problems else None


def _keys_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", metavar="FILE", required=True, type=path_named, help="the public part, for who seals")
    _add_keys(parser)


def _keys(args: argparse.Namespace) -> None:
    from harness.record.named import to_write
    from harness.studies.holdout.custodian import custodian_here, write_public_part

    to_write(args.out)
    reused, said = custodian_here(home_of(args), keys=args.keys), _written(args.out)
    place = write_public_part(home_of(args), args.out, keys=args.keys)
    print(f"{said} {args.out}: give it to whoever seals (harness holdout seal ... --custodian {args.out})")
    print(
        "the keys made here before were used again, so what was sealed for them stays yours" if reused else "new keys"
    )
    print(f"the private keys stay in {place}: keep a copy, nothing sealed for you opens without them")


def _request_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--plan", metavar="ID", required=True, help="the plan, or the beginning of its id")
    parser.add_argument("--out", metavar="FILE", required=True, type=path_named, help="the request, for the custodian")
    _add_keys(parser)


def _request(args: argparse.Namespace) -> None:
    from harness.record.named import to_write
    from harness.studies.holdout.custodian import requests_of, write_request

    to_write(args.out)
    earlier, said = requests_of(home_of(args), args.plan), _written(args.out)
    head = write_request(home_of(args), args.plan, args.out, keys=args.keys)
    if earlier:
        print(
            f"asked before: request {earlier + 1} for this plan, to the same one-use key; a grant of either opens once"
        )
    print(f"{said} {args.out}: send it to the custodian (harness holdout grant {args.out} --out grant.json)")
    print(f"ledger head {head}")


def _grant_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("request", metavar="REQUEST", type=path_named, help="what `harness holdout request` wrote")
    parser.add_argument("--out", metavar="FILE", required=True, type=path_named, help="the grant, for who asked")
    parser.add_argument("--head", metavar="HASH", default="", help="a ledger head noted earlier that must be in it")
    parser.add_argument(
        "--again", action="store_true", help="although the seal was opened, or this or another plan was granted, before"
    )
    _add_keys(parser)


def _grant(args: argparse.Namespace) -> None:
    from harness.record.named import to_write
    from harness.studies.holdout.granting import write_grant

    to_write(args.out)
    done = write_grant(home_of(args), args.request, args.out, head=args.head, again=args.again, keys=args.keys)
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
    parser.add_argument("experiment", metavar="EXPERIMENT", help=EXPERIMENT_HELP)


def _plan(args: argparse.Namespace) -> None:
    from harness.experiment.holdouts import planned
    from harness.report.opening import plan_text

    print(plan_text(planned(experiment_file(args.experiment), home_of(args), tell=print)))


def _open_options(parser: argparse.ArgumentParser) -> None:
    parser.epilog = "A seal with a passphrase opens with that of HARNESS_PASSPHRASE, else it is asked for."
    parser.add_argument("--plan", metavar="ID", required=True, help="the plan, or the beginning of its id")
    parser.add_argument(
        "--grant", metavar="FILE", type=path_named, help="what the custodian sent, where the seal has one"
    )
    parser.add_argument("--again", action="store_true", help="although it was opened before: counted, exploratory")
    parser.add_argument("--reason", metavar="TEXT", default="", help="why it is opened again, or given up")
    parser.add_argument(
        "--give-up",
        action="store_true",
        help="declare an opening void that was begun and cannot be finished: it counts all the same (needs --reason)",
    )
    parser.add_argument("--yes", action="store_true", help="do not ask at a terminal before a first opening")
    _add_keys(parser)


def _open(args: argparse.Namespace) -> None:
    from harness.experiment.holdouts import opened
    from harness.report.run import Run
    from harness.report.summary import summary

    home = home_of(args)
    _refuse_idle(args)
    if args.give_up:
        _give_up(args)
        return
    _confirm(args, home)
    run_id = opened(args.plan, home, grant=args.grant, keys=args.keys, again=args.again, reason=args.reason)
    print(summary(Run(run_id, home)))


def _refuse_idle(args: argparse.Namespace) -> None:
    """Refuse options that do nothing when an opening is given up; of others `ahead` tells."""
    idle = [name for name, given in (("--again", args.again), ("--grant", args.grant)) if given]
    if args.give_up and idle:
        raise UserError(
            "nothing is opened when an opening is given up",
            value=", ".join(idle),
            rule="--give-up goes with --reason alone, and --keys",
            fix="leave the others out",
        )


def _confirm(args: argparse.Namespace, home: Home) -> None:
    """Say what a first opening does, and ask for a yes where somebody sits at a terminal."""
    from harness.experiment.holdouts import ahead
    from harness.report.opening import ahead_text

    found = ahead(args.plan, home, grant=args.grant, keys=args.keys, again=args.again, reason=args.reason)
    if not found.confirms:
        return
    print(ahead_text(found.plan), flush=True)
    if sys.stdin.isatty() and not args.yes and input("Type yes to open it: ").strip().lower() != "yes":
        raise UserError(
            "nothing was opened",
            value="it was not confirmed",
            rule="a first opening at a terminal needs a yes",
            fix="type yes, or give --yes",
        )


def _give_up(args: argparse.Namespace) -> None:
    from harness.studies.holdout.abandoning import give_up_opening

    plan = give_up_opening(home_of(args), args.plan, args.reason, keys=args.keys)
    print(f"given up: the opening of plan {plan} is void, and counts; another plan opens with --again, as exploratory")


def _roll_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--to", metavar="DATE", required=True, help="newer data stay sealed from this day on")
    parser.add_argument("--seal", metavar="ID", default="", help="the seal, where the home has several")
    parser.add_argument(
        "--grant", metavar="FILE", type=path_named, help="what the custodian sent, where the seal has one"
    )
    _add_keys(parser)


def _roll(args: argparse.Namespace) -> None:
    from harness.experiment.holdouts import rolled

    done = rolled(args.to, home_of(args), seal=args.seal, grant=args.grant, keys=args.keys)
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

    done = verified(home_of(args), args.head)
    print(check_text(done, args.head))
    return FAILED if done.broken else None


def _add_keys(parser: argparse.ArgumentParser) -> None:
    where = "folder of keys, outside the home (default: HARNESS_KEYS, else ~/.config/harness/keys)"
    parser.add_argument("--keys", metavar="DIR", type=path_named, help=where)


def _written(out: Path) -> str:
    """What is said of a file that is about to be written."""
    return "replaced" if out.exists() else "wrote"


def _nothing(args: argparse.Namespace) -> None:
    """Never reached: a sub-verb is required."""


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

"""python -m real_labels rate."""

from __future__ import annotations

import argparse
import pathlib
import re
from typing import TYPE_CHECKING

from real_labels.commands import options as common
from real_labels.errors import InputError

if TYPE_CHECKING:
    from real_labels.answers import Gold
    from real_labels.rating.database import Database
    from real_labels.rating.tasks import Task

SUMMARY = "collect raters' answers in a browser: database, invitations, server and results"
EXAMPLE = (
    "init tasks.jsonl --images val/ --gold gold.csv && … rate invite --number 5 && … rate serve"
)
_ADDRESS = "http://{host}:{port}"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the subcommands."""
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name, summary, add, carry_out in (
        ("init", "create a rating database from tasks", _add_init, _init),
        ("add", "add a batch of tasks, and gold questions", _add_tasks, _add),
        ("invite", "print links for raters, or for an administrator", _add_invite, _invite),
        ("serve", "serve the pages", _add_serve, _serve),
        (
            "status",
            "print the progress of the work and the reliability of the raters",
            _add_status,
            _status,
        ),
        ("export", "write the answers as a table, which `aggregate` reads", _add_export, _export),
        ("backup", "copy the database while it is in use", _add_backup, _backup),
    ):
        command = commands.add_parser(
            name, help=summary, description=f"{summary[0].upper()}{summary[1:]}."
        )
        command.add_argument(
            "--database",
            default="sqlite:///rating.db",
            metavar="URL",
            help="sqlite:///FILE (default sqlite:///rating.db) or postgresql://USER:PASSWORD@HOST/NAME",
        )
        add(command)
        command.set_defaults(carry_out=carry_out)


def run(options: argparse.Namespace) -> None:
    """Runs the subcommand."""
    try:
        import sqlalchemy  # noqa: F401
        import starlette  # noqa: F401
    except ModuleNotFoundError as error:
        raise InputError(
            f"rate needs {error.name}: pip install 'real-labels[rating]' (in a clone, .[rating])."
        ) from None
    options.carry_out(options)


def _add_tasks(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("tasks", metavar="TASKS.jsonl", help="tasks, as `tasks` writes them")
    parser.add_argument("--images", metavar="DIR", required=True, help="folder of the images")
    common.add_gold(parser)
    common.add_categories(parser)
    parser.add_argument(
        "--class-names",
        metavar="FILE",
        help="names of the classes (default: the tasks' own, or ILSVRC-2012's)",
    )
    parser.add_argument(
        "--seed", type=int, default=0, help="seed of the order of the tasks (default 0)"
    )


def _add_init(parser: argparse.ArgumentParser) -> None:
    _add_tasks(parser)
    parser.add_argument(
        "--title",
        default="Which labels are right?",
        help="title of the pages (default: Which labels are right?)",
    )
    parser.add_argument(
        "--instructions",
        metavar="FILE.md",
        help="guidelines for the raters (default: the guidelines of this package)",
    )
    parser.add_argument(
        "--raters",
        type=int,
        default=5,
        metavar="N",
        help="number of raters for each task (default 5)",
    )
    parser.add_argument(
        "--ask-until",
        type=float,
        metavar="P",
        help="ask adaptively: a question is done at sureness P, such as 0.95, and --raters is ignored",
    )
    parser.add_argument(
        "--at-least",
        type=int,
        default=3,
        metavar="N",
        help="adaptive: least number of answers to a question (default 3)",
    )
    parser.add_argument(
        "--at-most",
        type=int,
        default=9,
        metavar="N",
        help="adaptive: greatest number of answers to a question (default 9)",
    )
    parser.add_argument(
        "--gold-share",
        type=float,
        default=0.1,
        metavar="S",
        help="share of hidden gold among a rater's tasks (default 0.1)",
    )
    parser.add_argument(
        "--warm-up",
        type=int,
        default=5,
        metavar="N",
        help="number of gold tasks with feedback before a rater's first task (default 5)",
    )
    parser.add_argument(
        "--lease",
        type=float,
        default=15,
        metavar="MINUTES",
        help="time that a rater may keep a task (default 15)",
    )


def _add_invite(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--number", type=int, default=1, metavar="N", help="number of links (default 1)"
    )
    parser.add_argument(
        "--note", help="note for the administrator, such as a name; it is not exported"
    )
    parser.add_argument("--admin", action="store_true", help="invite an administrator")
    parser.add_argument(
        "--url",
        default="http://localhost:8000",
        help="the address that raters open (default http://localhost:8000)",
    )


def _add_serve(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--host", default="127.0.0.1", help="address to listen on (default 127.0.0.1)"
    )
    parser.add_argument("--port", type=int, default=8000, help="port to listen on (default 8000)")
    parser.add_argument(
        "--url", help="the address that raters open, if it differs, as behind a proxy: https://…"
    )
    parser.add_argument(
        "--examples", metavar="DIR", help="folder with one folder of example images for each class"
    )


def _add_status(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", metavar="FILE", help="write all numbers as JSON")


def _add_export(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--out", required=True, metavar="FILE", help="write the answers (.csv, .parquet)"
    )
    parser.add_argument(
        "--gold-out", metavar="FILE", help="write the answers to gold questions (.csv, .parquet)"
    )


def _add_backup(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", required=True, metavar="FILE.db", help="write the copy")


def _init(options: argparse.Namespace) -> None:
    from real_labels.files.text import read_text
    from real_labels.rating import asking, database, project
    from real_labels.rating import tasks as rated

    if options.raters < 1 or options.warm_up < 0 or options.lease <= 0:
        raise InputError("--raters and --lease must be more than 0, --warm-up at least 0.")
    if not 0 <= options.gold_share < 1:
        raise InputError(f"--gold-share {options.gold_share}: expected a share, 0 <= S < 1.")
    if options.ask_until is not None:
        asking.Policy(options.ask_until, options.at_least, options.at_most)
    tasks = rated.load(options.tasks)
    gold = common.gold(options, lambda: rated.shown(tasks))
    guidelines = options.instructions or pathlib.Path(project.__file__).parent / "guidelines.md"
    text = read_text(guidelines)
    settings = database.Settings(
        options.title,
        common.categories(options),
        options.raters,
        options.ask_until,
        options.at_least,
        options.at_most,
        options.gold_share,
        options.warm_up,
        60 * options.lease,
    )
    pictures, names = project.pictures_of(options.images, tasks, gold), _names(options, tasks)
    opened = database.create(options.database)
    try:
        project.store(opened, settings, text)
        _fill(options, opened, tasks, gold, pictures, names)
    except InputError:
        database.remove(opened)  # else the corrected command would find an existing database
        raise
    if gold is None:
        common.print_warning(
            "Without --gold there is no warm-up and no hidden gold, so the reliability of the raters is not "
            "measured against known truth."
        )
    print("Next: rate invite --number N, and rate serve.")


def _add(options: argparse.Namespace) -> None:
    from real_labels.rating import database, project
    from real_labels.rating import tasks as rated

    tasks = rated.load(options.tasks)
    gold = common.gold(options, lambda: rated.shown(tasks))
    pictures = project.pictures_of(options.images, tasks, gold)
    names = _names(options, tasks)
    _fill(options, database.opened(options.database), tasks, gold, pictures, names)


def _fill(
    options: argparse.Namespace,
    opened: Database,
    tasks: list[Task],
    gold: Gold | None,
    pictures: dict[str, str],
    names: dict[int, tuple[str, str]],
) -> None:
    from real_labels.rating import project

    num_tasks, num_gold = project.add_tasks(opened, tasks, gold, pictures, names, options.seed)
    print(f"Added {common.counted(num_tasks, 'task')} and {common.counted(num_gold, 'gold task')}.")
    if num_tasks + num_gold < len(tasks):
        print(
            f"{options.tasks} has {len(tasks):,} tasks; tasks that the database already holds are left out."
        )


def _names(options: argparse.Namespace, tasks: list[Task]) -> dict[int, tuple[str, str]]:
    """Returns the name of each class, with an empty description, for tasks that do not name their classes.

    The names are those of --class-names, or ILSVRC-2012's if the first task is one of its validation images.
    """
    from real_labels.labels import ClassNames, imagenet

    names = None
    if options.class_names is not None:
        names = ClassNames.load(options.class_names).names
    elif imagenet.is_validation_name(pathlib.PurePath(tasks[0].file_name).name):
        names = ClassNames.of_imagenet().names
    return {label: (name, "") for label, name in enumerate(names or ())}


def _invite(options: argparse.Namespace) -> None:
    from real_labels.rating import database, people

    _check_url(options.url)
    opened = database.opened(options.database)
    for _ in range(options.number):
        token = people.invite(opened, options.note, is_admin=options.admin)
        print(f"{options.url.rstrip('/')}/invite/{token}")


def _check_url(url: str) -> None:
    if not re.fullmatch(r"https?://[^/\s]+(/\S*)?", url):
        raise InputError(f"--url {url}: expected an address such as https://rate.example.org.")


def _serve(options: argparse.Namespace) -> None:
    import uvicorn

    from real_labels.rating import database
    from real_labels.rating.site import app

    if options.url is not None:
        _check_url(options.url)
    opened = database.opened(options.database)
    site = app.create(opened, app.Options(options.url, options.examples))
    print(
        f"Serving {options.url or _ADDRESS.format(host=options.host, port=options.port)} "
        "(Ctrl-C stops the server)",
        flush=True,
    )
    # No access log: the addresses of invitations are secrets.
    uvicorn.run(
        site,
        host=options.host,
        port=options.port,
        access_log=False,
        log_level="warning",
        server_header=False,
    )


def _status(options: argparse.Namespace) -> None:
    import time

    from real_labels.files.text_table import text_table
    from real_labels.rating import database, status

    opened = database.opened(options.database)
    overview = status.overview(opened, time.time())
    if options.json:
        common.write_json(options.json, overview)
    print(
        f"{overview['title']}: {overview['tasks'] - overview['open_tasks']:,} of {overview['tasks']:,} tasks "
        f"done, {overview['answers']:,} of {overview['wanted']:,} answers, {overview['lent']:,} tasks lent "
        f"to raters, {overview['per_hour']:,} answers in the last hour."
    )
    if overview["labels"] is not None:
        equal = "–" if overview["agreement"] is None else f"{100 * overview['agreement']:.1f}%"
        print(
            f"{overview['labels']:,} labels so far, {overview['unsure']:,} unsure questions; {equal} of the "
            f"pairs of answers to the same question are equal."
        )
    if overview["needs_raters"]:
        common.print_warning(
            f"All active raters have already answered or skipped "
            f"{common.counted(overview['needs_raters'], 'open task')}: invite more raters."
        )
    rows = [("rater", "note", "tasks", "skipped", "seconds", "gold right", "informedness", "state")]
    for rater in overview["raters"]:
        state = "excluded" if rater["is_excluded"] else "paused" if rater["is_paused"] else ""
        seconds = "–" if rater["seconds"] is None else f"{rater['seconds']:.0f}"
        gold = f"{rater['gold_right']} of {rater['gold']}" if rater.get("gold") else "–"
        rows.append(
            (
                rater["pseudonym"],
                rater["note"] or "",
                f"{rater['done']:,}",
                f"{rater['skipped']:,}",
                seconds,
                gold,
                f"{rater['informedness']:.2f}" if "informedness" in rater else "–",
                state,
            )
        )
    print(text_table(rows, "<<>>>>><"))


def _export(options: argparse.Namespace) -> None:
    from real_labels.rating import database, results

    common.check_outputs((options.out, common.TABLES), (options.gold_out, common.TABLES))
    opened = database.opened(options.database)
    with opened.reading() as connection:
        settings = opened.settings(connection)
        number = results.export(connection, options.out, settings, work=True)
        print(f"Wrote {options.out}: {common.counted(number, 'answer')}.")
        if options.gold_out:
            number = results.export(connection, options.gold_out, settings, work=False)
            print(f"Wrote {options.gold_out}: {common.counted(number, 'answer')}.")


def _backup(options: argparse.Namespace) -> None:
    from real_labels.rating import database

    database.backup(database.opened(options.database), options.out)
    print(f"Wrote {options.out}.")

"""The words of ``xynctl``; each command's function is imported when it runs."""

import argparse
import importlib
from collections.abc import Callable, Generator
from typing import Any, Final

from xyn_reconciler.desired.wording import did_you_mean, quoted

FORMS: Final = ("table", "json", "name")

_EPILOG: Final = """\
exit codes: 0 ok, 1 failed, 2 usage, 3 not found, 4 conflict, 5 needs approval
environment: XYN_HOME, XYN_URL, XYN_PORT, XYN_TOKEN, DATABASE_URL, NO_COLOR
"""

_ID: Final = "its id, or the first or last characters of it"

Run = Callable[[argparse.Namespace], int | None]


class _Layout(argparse.RawDescriptionHelpFormatter):
    """Each command beside its summary, on one line."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=32)

    def _iter_indented_subactions(
        self, action: argparse.Action
    ) -> Generator[argparse.Action, None, None]:
        # argparse forgets their indentation when it measures, and breaks the line of the longest.
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001 - it has no public name
            yield from action._get_subactions()  # noqa: SLF001 - see above


class _Parser(argparse.ArgumentParser):
    """Says of an unknown command which one may have been meant; those below are of its class."""

    def _check_value(self, action: argparse.Action, value: Any) -> None:  # noqa: ANN401 - argparse's
        if isinstance(action, argparse._SubParsersAction) and value not in action.choices:  # noqa: SLF001 - see above
            if value.startswith("xyn_"):
                # The word after an option that this level does not know; a terminal's log keeps it.
                raise argparse.ArgumentError(None, "--as TOKEN comes after the command")
            near = did_you_mean(value, action.choices) or f"; there is {', '.join(action.choices)}"
            raise argparse.ArgumentError(None, f"no command {quoted(value)}{near}")
        super()._check_value(action, value)


def build_parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="xynctl",
        description="Run and ask a Xyn node: its truth is a Git repository.",
        epilog=_EPILOG,
        formatter_class=_Layout,
    )
    _add_home(parser)
    parser.set_defaults(run=None, parser=parser, home=None)
    top = _Commands(parser)
    _add_node_commands(top)
    _add_file_commands(top)
    _add_event_commands(top.group("event", "emit events and look at them"))
    _add_run_commands(top.group("run", "start, look at, watch and cancel runs"))
    _add_gate_commands(top.group("gate", "approve or reject what waits for a person"))
    _add_artifact_commands(top.group("artifact", "what runs and people left: logs, reports, files"))
    _add_blueprint_commands(top.group("blueprint", "what is active here"))
    _add_action_commands(top.group("action", "what steps can do; run one action by itself"))
    _add_pack_commands(top.group("pack", "what systems bring along: actions, sources, blueprints"))
    _add_trigger_commands(top)
    _add_review_commands(top.group("review", "look at drafts, say yes or no, promote"))
    backtest = top.add(
        "backtest", "backtests:backtest", "say what a draft would have done with recorded events"
    )
    backtest.add_argument(
        "draft", metavar="DRAFT", help="a draft's name or id, a branch, or a commit"
    )
    backtest.add_argument(
        "--since", default="7d", metavar="TIME", help="how far back, as 12h (default 7d)"
    )
    backtest.add_argument("--blueprint", metavar="ID", help="of this blueprint only")
    _add_acting(backtest)
    _add_form(backtest)
    rollback = top.add("rollback", "reviews:roll_back", "take back what a commit of main changed")
    rollback.add_argument(
        "revision", metavar="REVISION", help="the commit, or the first characters of it"
    )
    _add_acting(rollback)
    _add_form(rollback)
    _add_audit_commands(top.group("audit", "what was decided, and who did it"))
    _add_token_commands(
        top.group("token", "what people, services and agents prove themselves with")
    )
    _add_secret_commands(top.group("secret", "values that steps use and nobody sees"))
    _add_policy_commands(top.group("policy", "who may do what, and break-glass"))
    return parser


class _Commands:
    """A level of subcommands; ``asks``: each of them asks a node, as somebody."""

    def __init__(self, parser: argparse.ArgumentParser, *, asks: bool = False) -> None:
        self._level = parser.add_subparsers(metavar="COMMAND", title="commands")
        self._asks = asks

    def add(self, name: str, run: str, summary: str) -> argparse.ArgumentParser:
        """Add a command; ``run`` is ``module:function`` below ``cli.commands``."""
        parser = self._level.add_parser(
            name, help=summary, description=_sentence(summary), formatter_class=_Layout
        )
        parser.set_defaults(run=_lazily(run), parser=parser)
        _add_home(parser)
        if self._asks:
            _add_acting(parser)
        return parser

    def group(self, name: str, summary: str) -> "_Commands":
        parser = self._level.add_parser(
            name, help=summary, description=_sentence(summary), formatter_class=_Layout
        )
        parser.set_defaults(run=None, parser=parser)
        _add_home(parser)
        return _Commands(parser, asks=True)


def _sentence(summary: str) -> str:
    return f"{summary[0].upper()}{summary[1:]}."


def _lazily(name: str) -> Run:
    module, _, function = name.partition(":")

    def run(options: argparse.Namespace) -> int | None:
        found: Run = getattr(
            importlib.import_module(f"xyn_reconciler.cli.commands.{module}"), function
        )
        return found(options)

    return run


def _add_home(parser: argparse.ArgumentParser) -> None:
    # SUPPRESS: a later level without --home must not forget what an earlier one was told.
    parser.add_argument(
        "--home", metavar="DIR", default=argparse.SUPPRESS, help="the node's folder (default .xyn)"
    )


def _add_acting(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--as",
        dest="acting",
        metavar="TOKEN",
        help="who acts (default XYN_TOKEN, else the owner of the home)",
    )


def _add_form(parser: argparse.ArgumentParser, default: str = "table") -> None:
    parser.add_argument(
        "-o", "--output", choices=FORMS, default=default, help="how the answer looks"
    )


def _add_limit(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--limit",
        type=_positive,
        default=50,
        metavar="N",
        help="at most N, the newest (default 50)",
    )
    _add_form(parser)


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be 1 or more")
    return number


def _port(text: str) -> int:
    number = int(text)
    if not 1 <= number <= 65535:  # noqa: PLR2004 - RFC 9293, section 3.1: 16 bits
        raise argparse.ArgumentTypeError("must be between 1 and 65535")
    return number


def _assignment(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form name=value")
    return name, value


def _add_node_commands(top: _Commands) -> None:
    top.add("init", "node:init", "make a home with a state repository from the template")
    up = top.add("up", "up:up", "run the node until Ctrl-C (Postgres: embedded, or DATABASE_URL)")
    up.add_argument("--port", type=_port, help="where it answers (default XYN_PORT or 8080)")
    up.add_argument("--host", help=argparse.SUPPRESS)
    up.add_argument(
        "--role",
        choices=("all", "web", "worker", "node"),
        default="all",
        help="run one process only",
    )
    up.add_argument(
        "--demo", action="store_true", help="show a run and a waiting gate when it is ready"
    )
    up.add_argument("--compose", action="store_true", help="preflight, then docker compose up")
    status = top.add(
        "status", "node:status", "say what is applied, what waits, and whether it is ready"
    )
    _add_acting(status)
    _add_form(status)
    reconcile = top.add("reconcile", "node:reconcile", "bring the node to what main says, now")
    _add_acting(reconcile)
    reconcile.add_argument("--dry-run", action="store_true", help="only say what would change")
    _add_form(reconcile)
    preflight = top.add("preflight", "preflight:preflight", "name every setting that is missing")
    preflight.add_argument(
        "--env",
        default=".env",
        metavar="FILE",
        help="the file to read, and to write a template of (default .env)",
    )
    top.add("doctor", "doctor:doctor", "check this machine and the home, and say how to mend them")
    clone = top.add(
        "clone", "homes:clone", "make a home that follows another node, with its history"
    )
    clone.add_argument("url", metavar="URL", help="a node, or its state repository")
    clone.add_argument("directory", metavar="DIR", help="the home to make")
    clone.add_argument(
        "--as", dest="identity", metavar="ID", help="take over the identity of a node that is gone"
    )
    top.add("rebuild", "homes:rebuild", "make the index anew from Git, on a stopped node")
    verify = top.add(
        "verify", "verify:verify", "check records, audit and refs against what was once written"
    )
    verify.add_argument(
        "--against",
        metavar="LINE",
        help="a checkpoint that you kept: 'Checkpoint: NODE main ... audit ... records ...'",
    )
    _add_form(verify)
    top.add("version", "node:version", "print the version")
    completion = top.add(
        "completion", "node:completion", "print a completion script for your shell"
    )
    completion.add_argument("shell", choices=("bash", "zsh", "tcsh"), help="which")


def _add_file_commands(top: _Commands) -> None:
    validate = top.add("validate", "files:validate", "check files as a push would, without a node")
    validate.add_argument("paths", nargs="+", metavar="PATH", help="a file or folder")
    test = top.add("test", "tests:test", "run blueprint tests of a folder, without a node")
    test.add_argument(
        "paths", nargs="*", default=["."], metavar="PATH", help="a file or folder (default .)"
    )
    test.add_argument(
        "--revision", metavar="REV", help="those of a draft, branch or commit of the node instead"
    )
    _add_acting(test)
    _add_form(test)
    schema = top.add("schema", "files:schema", "print the JSON Schema of one kind of document")
    schema.add_argument("kind", metavar="KIND", help="blueprint, node, source ...")


def _add_event_commands(events: _Commands) -> None:
    emit = events.add("emit", "events:emit", "emit an event")
    emit.add_argument("name", metavar="NAME", help="of the event, as demo.hello")
    emit.add_argument(
        "--data", default="{}", metavar="JSON|@FILE|-", help="the event's data (default {})"
    )
    emit.add_argument("--idempotency-key", metavar="KEY", help="the same key twice is one event")
    _add_form(emit)
    listing = events.add("list", "events:list_events", "list events, the newest first")
    listing.add_argument("--name", dest="event_name", metavar="NAME", help="of this name only")
    listing.add_argument("--run", dest="run_id", metavar="RUN", help="of this run only")
    _add_limit(listing)
    show = events.add("show", "events:show", "show one event")
    show.add_argument("event_id", metavar="EVENT", help=_ID)
    _add_form(show)
    forget = events.add(
        "forget", "events:forget", "take an event's content out of rows and records"
    )
    forget.add_argument("event_id", metavar="EVENT", help=_ID)


def _add_run_commands(runs: _Commands) -> None:
    start = runs.add("start", "runs:start", "start a blueprint by hand")
    start.add_argument("blueprint", metavar="BLUEPRINT", help="its id")
    start.add_argument(
        "--input",
        dest="inputs",
        action="append",
        type=_assignment,
        default=[],
        metavar="NAME=VALUE",
        help="one of its inputs; as often as there are",
    )
    start.add_argument("--name", metavar="NAME", help="a name for the run")
    _add_form(start)
    listing = runs.add("list", "runs:list_runs", "list runs, the newest first")
    listing.add_argument("--status", metavar="STATUS", help="in this status only")
    listing.add_argument("--blueprint", metavar="BLUEPRINT", help="of this blueprint only")
    _add_limit(listing)
    for name, summary in (
        ("show", "show a run with its steps"),
        ("cancel", "stop a run"),
        ("watch", "follow a run until it ends"),
    ):
        command = runs.add(name, f"runs:{name}", summary)
        command.add_argument("run_id", metavar="RUN", help=_ID)
        _add_form(command)
    rerun = runs.add("rerun", "runs:rerun", "run it again, from the start or from a step")
    rerun.add_argument("run_id", metavar="RUN", help=_ID)
    rerun.add_argument(
        "--from", dest="from_step", metavar="STEP", help="the first step to do again"
    )
    rerun.add_argument(
        "--revision", metavar="REV", help="main, or a commit of it (default: as the run was)"
    )
    rerun.add_argument(
        "--fresh", action="store_true", help="new idempotency keys: effects may happen again"
    )
    _add_form(rerun)
    example = runs.add("to-test", "tests:make_test", "make a blueprint test of a recorded run")
    example.add_argument("run_id", metavar="RUN", help=_ID)
    example.add_argument(
        "--out", metavar="FILE", help="where to write it (default: standard output)"
    )
    resolve = runs.add("resolve", "runs:resolve", "say what becomes of an interrupted step")
    resolve.add_argument("run_id", metavar="RUN", help=_ID)
    resolve.add_argument("step", metavar="STEP", help="the step's id in the plan, or its uuid")
    resolve.add_argument("resolution", choices=("retry", "done", "fail"))
    _add_form(resolve)


def _add_gate_commands(gates: _Commands) -> None:
    listing = gates.add("list", "gates:list_gates", "list gates that wait")
    _add_limit(listing)
    for name, summary in (
        ("show", "show what exactly a gate lets through, and whom it asks"),
        ("approve", "let through what waits at a gate"),
        ("reject", "refuse what waits at a gate"),
    ):
        command = gates.add(name, f"gates:{name}", summary)
        command.add_argument("run_id", metavar="RUN", help=_ID)
        command.add_argument("step", metavar="STEP", help="the step's id in the plan, or its uuid")
        if name != "show":
            _add_decision(command)
        _add_form(command)


def _add_decision(command: argparse.ArgumentParser) -> None:
    command.add_argument("--comment", metavar="TEXT", help="why, for the record")
    command.add_argument(
        "--field",
        dest="fields",
        action="append",
        type=_assignment,
        default=[],
        metavar="NAME=VALUE",
        help="one field of the gate's form; as often as there are",
    )
    command.add_argument(
        "--digest",
        metavar="DIGEST",
        help="the effect_digest that was looked at; refused where it is another by now",
    )


def _add_artifact_commands(artifacts: _Commands) -> None:
    listing = artifacts.add("list", "artifacts:list_artifacts", "list artifacts, the newest first")
    listing.add_argument("--kind", metavar="KIND", help="of this kind only, as log")
    listing.add_argument("--run", dest="run_id", metavar="RUN", help="of this run only")
    _add_limit(listing)
    get = artifacts.add("get", "artifacts:get", "write the bytes of one, once they are verified")
    get.add_argument("artifact", metavar="ARTIFACT", help=_ID)
    get.add_argument(
        "-o", dest="file", metavar="FILE", help="a file, or a folder (default: standard output)"
    )
    _add_form(
        artifacts.add(
            "verify", "artifacts:verify", "have all bytes read, and name what is missing or damaged"
        )
    )


def _add_blueprint_commands(blueprints: _Commands) -> None:
    _add_limit(blueprints.add("list", "blueprints:list_blueprints", "list active blueprints"))
    for name, summary in (
        ("show", "show one blueprint"),
        ("history", "list the commits that changed a blueprint"),
    ):
        command = blueprints.add(name, f"blueprints:{name}", summary)
        command.add_argument("blueprint_id", metavar="BLUEPRINT", help="its id")
        if name == "history":
            _add_limit(command)
        else:
            _add_form(command)


def _add_action_commands(actions: _Commands) -> None:
    _add_form(actions.add("list", "actions:list_actions", "list actions, those of packs too"))
    show = actions.add("show", "actions:show", "show what an action takes, gives and fails with")
    show.add_argument("action", metavar="NAME", help="its name, as http.call")
    _add_form(show)
    run = actions.add("try", "actions:run_one", "run one action by itself; for Operators")
    run.add_argument("action", metavar="NAME", help="its name, as http.call")
    run.add_argument(
        "--with",
        dest="given",
        default="{}",
        metavar="JSON|@FILE|-",
        help="what it takes, as a step has it (default {})",
    )
    run.add_argument("--timeout", metavar="TIME", help="how long it may take, as 30s")


def _add_pack_commands(packs: _Commands) -> None:
    _add_limit(packs.add("list", "packs:list_packs", "list packs that are active"))
    show = packs.add("show", "packs:show", "show one pack, and its actions")
    show.add_argument("pack", metavar="PACK", help="its name")
    _add_form(show)
    verify = packs.add("verify", "packs:verify", "check packs in files, and print their digests")
    verify.add_argument(
        "packs", nargs="*", metavar="PACK", help="its name or its folder (default: all)"
    )
    _add_form(verify)
    new = packs.add("new", "packs:new", "write a small pack that is whole and valid")
    new.add_argument("name", metavar="NAME", help="small letters, digits, _ and -")
    test = packs.add("test", "pack_test:test", "run the examples of packs, without a node")
    test.add_argument(
        "packs", nargs="*", metavar="PACK", help="its name or its folder (default: all)"
    )
    test.add_argument(
        "--live", action="store_true", help="the smoke tests of active packs, on the node"
    )
    _add_form(test)


def _add_review_commands(drafts: _Commands) -> None:
    listing = drafts.add(
        "list", "reviews:list_drafts", "list drafts under review, the newest first"
    )
    listing.add_argument("--all", action="store_true", help="those that are promoted or closed too")
    _add_limit(listing)
    for name, summary in (
        ("show", "show all that there is to know of a draft"),
        ("diff", "show what promotion would change, in words and in text"),
        ("check", "run all checks again, and wait for them"),
        ("approve", "say yes to what promotion would change"),
        ("reject", "say no to it"),
        ("comment", "say something about a draft, or about a line of it"),
        ("promote", "merge a draft into main"),
        ("close", "give a draft up: its branch goes"),
    ):
        command = drafts.add(name, f"reviews:{name}", summary)
        command.add_argument("draft", metavar="NAME", help="of the draft, or its id")
        _add_form(command)
        if name in ("approve", "reject"):
            command.add_argument("--comment", metavar="TEXT", help="why, for the record")
            command.add_argument(
                "--digest",
                metavar="DIGEST",
                help="the effect_digest that was looked at; refused where it is another by now",
            )
        elif name == "comment":
            command.add_argument("text", metavar="TEXT", help="what there is to say")
            command.add_argument("--path", metavar="PATH", help="the file that it is about")
            command.add_argument("--line", type=_positive, metavar="N", help="the line in it")
        elif name == "promote":
            command.add_argument(
                "--head", metavar="COMMIT", help="refused where the draft is at another by now"
            )


def _add_audit_commands(entries: _Commands) -> None:
    listing = entries.add("list", "audit:list_entries", "list audit entries, the newest first")
    listing.add_argument(
        "--kind", metavar="KIND", help="of this kind only, as review.promoted; or of all below one"
    )
    listing.add_argument("--subject", metavar="SUBJECT", help="about this ref, id or name only")
    _add_limit(listing)


def _add_trigger_commands(top: _Commands) -> None:
    explain = top.group("explain", "say why something started, or did not")
    event = explain.add(
        "event", "explain:event", "say what came of an event at each blueprint, and why"
    )
    event.add_argument("event_id", metavar="EVENT", help=_ID)
    _add_form(event)
    schedules = top.group("schedule", "when blueprints start by the clock")
    _add_form(
        schedules.add("list", "triggers:list_schedules", "list schedules and their next time")
    )
    sources = top.group("source", "where webhooks come in")
    _add_form(sources.add("list", "triggers:list_sources", "list sources and what each waits for"))


def _add_token_commands(tokens: _Commands) -> None:
    create = tokens.add("create", "tokens:create", "make a token and print it, this once")
    create.add_argument("principal", metavar="PRINCIPAL", help="whose: an id of principals.yaml")
    create.add_argument(
        "--expires", metavar="TIME", help="for how long it holds, as 30d (default: until revoked)"
    )
    _add_form(create)
    _add_form(tokens.add("list", "tokens:list_tokens", "list every token that there was"))
    revoke = tokens.add("revoke", "tokens:revoke", "end a token and every session of it")
    revoke.add_argument("token_id", metavar="TOKEN_ID", help="the id in it: xyn_<id>_…")
    _add_form(revoke)


def _add_secret_commands(secrets: _Commands) -> None:
    for verb, run, summary in (
        ("set", "set_secret", "encrypt a value, from a prompt or from stdin, and commit it"),
        ("rotate", "rotate", "replace a value that is there, and say who uses it"),
    ):
        command = secrets.add(verb, f"secrets:{run}", summary)
        command.set_defaults(verb=verb)
        _add_secret_path(command)
        command.add_argument("value", nargs="*", help=argparse.SUPPRESS)
    remove = secrets.add("rm", "secrets:remove", "remove a secret")
    _add_secret_path(remove)
    remove.add_argument("--force", action="store_true", help="also one that is used")
    _add_form(secrets.add("list", "secrets:list_secrets", "list names, users and what is shut"))
    _add_secret_path(secrets.add("who-uses", "secrets:who_uses", "list what names a secret"))
    rekey = secrets.add(
        "rekey", "secrets:rekey", "encrypt to the nodes of now, name what to rotate"
    )
    rekey.add_argument(
        "--identity", metavar="FILE", help="a key that opens them (default: the home's)"
    )
    _add_form(rekey)
    secrets.add("recipient", "secrets:recipient", "print the line for this node's definition")


def _add_secret_path(command: argparse.ArgumentParser) -> None:
    command.add_argument("path", metavar="PATH", help="as team/noc/ssh")
    _add_form(command)


def _add_policy_commands(policies: _Commands) -> None:
    evaluate = policies.add(
        "eval", "policies:evaluate", "say what would be decided, by which rule, and why no other"
    )
    evaluate.add_argument("--actor", required=True, metavar="ID", help="who")
    evaluate.add_argument("--action", required=True, help="what, as blueprint.promote")
    evaluate.add_argument(
        "--stage", choices=("dev", "test", "prod"), help="where (default: as this node)"
    )
    evaluate.add_argument("--resource-type", metavar="TYPE", help="to what, as blueprint")
    evaluate.add_argument("--risk", choices=("low", "medium", "high"), help="of a change")
    _add_form(evaluate)
    glass = policies.add(
        "break-glass", "policies:break_glass", "act as Operator for 15 minutes, as the home's owner"
    )
    glass.add_argument("--reason", required=True, metavar="TEXT", help="why; everybody reads it")
    _add_form(glass)
    sign_off = policies.add(
        "sign-off", "policies:sign_off", "say as a second person that you know of a break-glass"
    )
    sign_off.add_argument("grant_id", metavar="ID", help="its id")
    _add_form(sign_off)

"""Write ``reference/xynctl.md`` from the words of the command: ``python docs/build_xynctl.py``.

A test holds the page and the command together.
"""

# ruff: noqa: INP001 - a script, not a package

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

PAGE = Path(__file__).parent / "reference" / "xynctl.md"
sys.path.insert(0, str(Path(__file__).parent.parent))

from xyn_reconciler.cli.parser import build_parser  # noqa: E402 - on the path only now

HEAD = """\
# xynctl

<!-- Made by docs/build_xynctl.py of cli/parser.py; changes here are lost. -->

Asks a node over its HTTP API. `init`, `up`, `validate`, `schema`, `clone`, `rebuild`, `verify`,
`preflight`, `doctor`, `version` and `completion` need none.

## Which node

`--home DIR` is taken anywhere, also last. Without it, the first of these says it:

1. `XYN_HOME`, a node's folder;
2. `XYN_URL`, an address such as `http://127.0.0.1:8080`;
3. the Git remotes of the clone that you stand in, `origin` first: `…/git/state.git` over HTTP, or
   the path of a home's `state.git`; subfolders and worktrees count;
4. a home that you stand in, or a folder `.xyn` here or further up.

`up`, `rebuild`, `verify`, `preflight` and `doctor` work on a home: `--home`, `XYN_HOME`, one
further up, that of the clone that you stand in (`.xyn` at its top), else `./.xyn`.
Where that home does not exist yet and you stand in such a clone, `xynctl up` makes a node of the
clone: it fetches the history from the clone's `origin` and follows it.

## Answers

Standard output is the answer alone; remarks, progress and errors go to standard error.
`-o table` is for people, `-o json` gives what the API gives (a list is one array), `-o name` gives
one id a line, for a shell loop. Lists are newest first, 50 long unless `--limit` says otherwise.
Colors are used on a terminal, and never with `NO_COLOR`.

RUN and EVENT are an id or its first four characters and more. STEP is the step's id in the plan,
or its uuid.

| exit code | means |
|---|---|
| 0 | ok; for `up`: it was asked to end, and ended |
| 1 | failed: also a run that `watch` saw fail, a node that is not ready, a problem in a file |
| 2 | usage: what was typed or sent is not well formed |
| 3 | not found: nothing of that name, or no node here |
| 4 | conflict: a gate decided already, a busy port, a home in use, `rebuild` beside a node |
| 5 | needs approval: somebody else has to agree |

Completion: `xynctl completion bash > ~/.local/share/bash-completion/completions/xynctl`, and the
same for `zsh` (a file `_xynctl` in `$fpath`) and `tcsh`.

## Commands
"""


def page() -> str:
    """Give the whole page."""
    return "\n".join([HEAD, *_commands(build_parser())])


def _commands(parser: argparse.ArgumentParser) -> Iterator[str]:
    for action in parser._actions:  # noqa: SLF001 - argparse shows them in no other way
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001 - see above
            for command in action.choices.values():
                yield from _command(command)


def _command(parser: argparse.ArgumentParser) -> Iterator[str]:
    if parser.get_default("run") is not None:
        yield f"### {parser.prog}\n\n{parser.description}\n"
        options = list(_options(parser))
        if options:
            yield "\n".join(["| | |", "|---|---|", *options, ""])
    yield from _commands(parser)


def _options(parser: argparse.ArgumentParser) -> Iterator[str]:
    for action in parser._actions:  # noqa: SLF001 - see above
        if action.help == argparse.SUPPRESS or action.dest in {"help", "home"}:
            continue
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001 - see above
            continue
        names = ", ".join(action.option_strings)
        value = "" if action.nargs == 0 else str(action.metavar or _choices(action))
        told = f"{names} {value}".strip().replace("|", "\\|")
        yield f"| `{told}` | {action.help or ''} |"


def _choices(action: argparse.Action) -> str:
    return "/".join(map(str, action.choices)) if action.choices else action.dest.upper()


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")

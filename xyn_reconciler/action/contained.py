"""Run a program of a pack in a container, as ``container.exec`` runs commands.

For what needs packages, a network of its own, or a machine that cannot confine processes. The
protocol is the same; the pack's ``actions/`` stand where commands' files stand.
"""

from collections.abc import Mapping
from typing import Any, Final

from xyn_reconciler.action.container_exec import execute
from xyn_reconciler.action.container_settings import FOLDER
from xyn_reconciler.action.context import ActionContext
from xyn_reconciler.action.program_output import Ended, Printed
from xyn_reconciler.model.errors import PermanentError

_SIGNALLED: Final = 128
"""Above it is a signal's number, in an exit status of a container."""


def run(
    file: str,
    files: Mapping[str, str],
    request: bytes,
    context: ActionContext,
    settings: Mapping[str, Any],
) -> Ended:
    """Run ``file``, one of ``files``, with ``request`` as its standard input.

    ``settings`` are ``image``, ``memory`` and perhaps ``network`` of ``container.exec``, whose
    codes these are too: but ``exit_status``.
    """
    printed = Printed(context)
    ended = execute(
        {
            **settings,
            "argv": command(file, files[file]),
            "files": {f"in/{name}": text for name, text in files.items()},
        },
        context,
        stdin=request,
        stdout=printed.answer,
        stderr=printed.say,
    )
    if ended.out_of_memory:
        message = f"the program used more than {settings['memory']} of memory"
        raise PermanentError("out_of_memory", message)
    signalled = ended.status > _SIGNALLED
    return printed.ended(_SIGNALLED - ended.status if signalled else ended.status)


def command(file: str, text: str) -> list[str]:
    """The image's ``python3`` for ``.py``, else what the first line asks for; pure."""
    place = f"{FOLDER}/in/{file}"
    if file.endswith(".py"):
        return ["python3", "-B", place]
    first = text.partition("\n")[0]
    if not first.startswith("#!"):
        message = f"{file} is no .py file and does not begin with #!: what would run it?"
        raise PermanentError("not_executable", message)
    # As the kernel reads it: the program, and all that follows as one word.
    return [*first[2:].strip().split(None, 1), place]

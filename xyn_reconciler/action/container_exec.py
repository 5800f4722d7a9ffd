"""``container.exec``: one command in a container that can do nothing but compute.

What it may do is in :mod:`.container_settings`, what goes in and comes out in
:mod:`.container_files`. The image is named by its content, or by a name that
the node allows and whose content is noted, so what was reviewed is what runs.
The container goes with the step; what a killed node left is found by its labels.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from xyn_reconciler.action import container_engine as engines
from xyn_reconciler.action import container_files as files
from xyn_reconciler.action.container_engine import Take
from xyn_reconciler.action.container_settings import FOLDER, MEMORY, PIDS, USER, settings
from xyn_reconciler.action.context import ActionContext
from xyn_reconciler.action.output import Output, output_properties
from xyn_reconciler.model.capability import ActionSpec
from xyn_reconciler.model.errors import PermanentError

INPUT_SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["image", "argv"],
    "properties": {
        "image": {
            "type": "string",
            "description": "NAME@sha256:DIGEST, or sha256:ID of an image that the engine has; or a"
            " name that containers.allow of node.yaml lists.",
        },
        "argv": {
            "type": "array",
            "minItems": 1,
            "items": {"type": ["string", "number"]},
            "description": "The program and its arguments; the image's own entrypoint is not used.",
        },
        "env": {"type": "object", "additionalProperties": {"type": ["string", "number"]}},
        "stdin": {"type": "string", "description": "What it can read; nothing by default."},
        "files": {
            "type": "object",
            "propertyNames": {"pattern": files.IN_PATTERN},
            "additionalProperties": {"type": "string"},
            "description": f"in/NAME -> text: files below {FOLDER}, which it is started in.",
        },
        "inputs": {
            "type": "object",
            "propertyNames": {"pattern": files.NAME_PATTERN},
            "additionalProperties": {"type": "string", "format": "uuid"},
            "description": "NAME -> artifact id: artifacts as files in/NAME.",
        },
        "artifacts": {
            "type": "array",
            "items": {"type": "string", "pattern": files.OUT_PATTERN},
            "description": "Folders and files below out/; each file there becomes an artifact.",
        },
        "result": {
            "type": "string",
            "pattern": files.OUT_PATTERN,
            "description": "A JSON file below out/ that is the output result; at most 256 KiB.",
        },
        "user": {"type": "string", "default": USER, "description": "UID or UID:GID, never 0."},
        "network": {
            "type": "string",
            "description": "A network made for it on the engine; none by default.",
        },
        "memory": {"type": "string", "default": MEMORY, "description": "At most 8GB."},
        "pids": {"type": "integer", "minimum": 1, "maximum": 4096, "default": PIDS},
        "cpus": {"type": "number", "minimum": 0.01, "maximum": 64, "default": 1},
    },
}

OUTPUT_SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["exit_status", "image", "stdout", "stdout_bytes", "stderr", "stderr_bytes"],
    "properties": {
        "exit_status": {"type": "integer"},
        "image": {"type": "string", "description": "What ran, by its digest."},
        **output_properties("stdout"),
        **output_properties("stderr"),
        "artifacts": {
            "type": "object",
            "additionalProperties": {"type": "string"},
            "description": "Path below out/ -> artifact id, where artifacts were asked for.",
        },
        "result": {"description": "What the result file holds, where one was asked for."},
    },
}

ERRORS: Final = {
    "invalid_inputs": "A user, a network, a path or a size is none that is allowed.",
    "image_not_allowed": "The image is named neither by its digest nor as node.yaml allows it.",
    "image_not_found": "The engine does not have the image: docker pull it there.",
    "engine_unavailable": "The engine does not answer; tried again.",
    "engine_refused": "The engine refused, such as a program that the image does not have.",
    "not_found": "There is no such artifact.",
    "out_of_memory": "The command used more memory than it was given.",
    "exit_status": "The command ended with another exit status than 0; its outputs are details.",
    "invalid_result": "The result file is missing, or holds no JSON.",
    "file_too_large": "A file in out is larger than an artifact, or a result, may be.",
    "too_many_files": "There are more than 200 files to keep in out.",
}

_NAME: Final = r"[a-z0-9][a-z0-9._-]*(:[0-9]{1,5})?(/[a-z0-9][a-z0-9._-]*)*"
_IMAGE: Final = re.compile(
    rf"({_NAME}@)?sha256:[0-9a-f]{{64}}|(?!sha256:){_NAME}(:[A-Za-z0-9_][A-Za-z0-9._-]{{0,127}})?"
)


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended."""

    status: int
    image: str
    """By its digest."""
    out_of_memory: bool
    found: files.Found


class ContainerExec:
    """The action ``container.exec``."""

    spec = ActionSpec(
        "container.exec",
        "Run a command in a container.",
        INPUT_SCHEMA,
        OUTPUT_SCHEMA,
        idempotent=False,
        capabilities=frozenset({"containers", "artifacts"}),
        errors=ERRORS,
    )

    def run(self, inputs: Mapping[str, Any], context: ActionContext) -> dict[str, Any]:
        """Run it and give ``{exit_status, image, stdout, ...}``; codes: :data:`ERRORS`."""
        given = inputs.get("stdin")
        with Output("stdout", context) as stdout, Output("stderr", context) as stderr:
            ended = execute(
                inputs,
                context,
                stdin=None if given is None else given.encode("utf-8", "surrogatepass"),
                stdout=stdout.take,
                stderr=stderr.take,
            )
            outputs = {"exit_status": ended.status, "image": ended.image}
            outputs |= {**stdout.outputs(), **stderr.outputs()}
        if "artifacts" in inputs:
            outputs["artifacts"] = ended.found.artifacts
        context.log(f"container of {ended.image}: exit status {ended.status}")
        if ended.out_of_memory:
            message = f"the command used more than {inputs.get('memory', MEMORY)} of memory"
            raise PermanentError("out_of_memory", message, details=outputs)
        if ended.status != 0:
            message = f"the command ended with exit status {ended.status}"
            raise PermanentError("exit_status", message, details=outputs)
        if "result" in inputs:
            outputs["result"] = files.parsed(ended.found.result, inputs["result"])
        return outputs


def execute(
    inputs: Mapping[str, Any],
    context: ActionContext,
    *,
    stdin: bytes | None,
    stdout: Take,
    stderr: Take,
) -> Ended:
    """Run what ``inputs`` (of :data:`INPUT_SCHEMA`) say; what is printed goes where it is told.

    Raises as the action does, but for how the command itself ended.
    """
    if not _IMAGE.fullmatch(inputs["image"]):
        raise PermanentError("invalid_inputs", f"{inputs['image']!r} is not an image")
    files.check(inputs)
    asked = settings(inputs, context)
    folder = files.wanted(inputs)
    if folder:
        # A volume without a name, and nothing of the image in it.
        mount = {"Target": FOLDER, "Type": "volume", "VolumeOptions": {"NoCopy": True}}
        asked |= {"mounts": [mount], "working_dir": FOLDER}
    if stdin is not None:
        asked |= {"stdin_open": True}
    with engines.engine() as client:
        engines.check_network(client, inputs.get("network"))
        image_id, image = engines.resolved(client, inputs["image"], context.images)
        with engines.container(client, {**asked, "image": image_id}) as made:
            if folder:
                with files.packed(inputs, context) as archive:
                    made.put_archive(FOLDER, archive)
            status, out_of_memory = engines.run_to_end(made, stdin, stdout, stderr, context)
            found = files.Found()
            if inputs.get("artifacts") or "result" in inputs:
                with engines.archive(made, f"{FOLDER}/out") as pieces:
                    found = files.collected(pieces, inputs, context)
    return Ended(status, image, out_of_memory, found)

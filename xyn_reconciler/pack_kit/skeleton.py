"""The pack that ``xynctl pack new`` writes: small, whole, and valid as it stands.

One action declared without code and one with, an example of each, a source, and a blueprint
with its test. ``@name@`` stands for the pack.
"""

from collections.abc import Mapping
from typing import Final

from xyn_reconciler.pack_kit import NAME, kit

_PACK: Final = """\
# yaml-language-server: $schema=../../schemas/pack.json
id: "@name@"
name: "@name@"
description: Say here which system this is, and what blueprints can do with it.
version: 0.1.0
xyn_core: ">=0.1"
attachment: external
requires:
  secrets: [sys/local/integrations/@name@]
settings:
  type: object
  additionalProperties: false
  properties:
    url: {type: string, title: Where the system answers, default: "http://127.0.0.1:8000"}
    secret_ref: {type: string, title: Where its token is, default: sys/local/integrations/@name@}
actions:
  # Without code: what http.call is given.
  @name@.ticket.open:
    summary: Open a ticket.
    input_schema:
      type: object
      required: [title]
      additionalProperties: false
      properties: {title: {type: string, maxLength: 200}}
    output_schema: {type: object, required: [id], properties: {id: {type: integer}}}
    request:
      method: POST
      url: "{{ settings.url }}/tickets"
      bearer_ref: "{{ settings.secret_ref }}"
      json: {title: "{{ inputs.title }}"}
    outputs: {id: "{{ response.json.id }}"}
    errors:
      - {status: [409], code: already_open, message: "{{ inputs.title }} is open already"}
  # With code: a program of the pack, which reads JSON and writes JSON.
  @name@.title:
    summary: Find a title for an alert.
    idempotent: true
    input_schema:
      type: object
      required: [host]
      additionalProperties: false
      properties: {host: {type: string}, text: {type: string, default: ""}}
    output_schema: {type: object, required: [title], properties: {title: {type: string}}}
    run: {file: actions/title.py}
events: [@name@.alert]
"""

_TITLE: Final = '''\
"""@name@.title: try it alone with `xynctl pack test @name@`."""

from xyn_kit import Failure, Request, action, log


@action
def title(request: Request) -> dict[str, object]:
    host = request.inputs["host"].strip()
    if not host:
        raise Failure("no_host", "the alert names no host")
    log("a title for", host)
    return {"title": f"{host}: {request.inputs['text'] or 'something is wrong'}"}


if __name__ == "__main__":
    title()
'''

_FILES: Final[Mapping[str, str]] = {
    "pack.yaml": _PACK,
    "actions/title.py": _TITLE,
    "examples/open-a-ticket.yaml": """\
name: A ticket is opened with its title
action: @name@.ticket.open
with: {title: "web-1: disk full"}
secrets: {sys/local/integrations/@name@: made-up}
answers:
  - request:
      method: POST
      path: /tickets
      headers: {authorization: Bearer made-up}
      json: {title: "web-1: disk full"}
    response: {status: 201, json: {id: 7}}
expect: {outputs: {id: 7}}
""",
    "examples/already-open.yaml": """\
name: A ticket that is open already is told by its code
action: @name@.ticket.open
with: {title: again}
secrets: {sys/local/integrations/@name@: made-up}
answers:
  - request: {method: POST}
    response: {status: 409}
expect: {error: {code: already_open}}
""",
    "examples/title.yaml": """\
name: The host comes first
action: @name@.title
with: {host: web-1, text: disk full}
expect: {outputs: {title: "web-1: disk full"}}
""",
    "sources/@name@.yaml": """\
# yaml-language-server: $schema=../../../schemas/source.json
# POST /hooks/@name@, with the token of the system.
id: "@name@"
verify: {scheme: bearer, secret_refs: ["{{ settings.secret_ref }}"]}
event_type: @name@.alert
data: "{{ body }}"
""",
    "blueprints/alert.yaml": """\
# yaml-language-server: $schema=../../../schemas/blueprint.json
id: bp.@name@.alert
name: Open a ticket for an alert
triggers:
  - event_type: @name@.alert
inputs:
  host: {type: string, from: "{{ event.data.host }}"}
  text: {type: string, from: "{{ event.data.text }}", default: ""}
plan:
  - id: title
    kind: action_task
    action: @name@.title
    with: {host: "{{ inputs.host }}", text: "{{ inputs.text }}"}
  - id: ticket
    kind: action_task
    action: @name@.ticket.open
    with: {title: "{{ steps.title.outputs.title }}"}
outputs:
  ticket: "{{ steps.ticket.outputs.id }}"
""",
    "tests/alert.yaml": """\
# yaml-language-server: $schema=../../../schemas/test.json
name: An alert becomes a ticket
blueprint: bp.@name@.alert
event: {event_name: @name@.alert, data: {host: web-1, text: disk full}}
steps:
  title: {title: "web-1: disk full"}
  ticket: {id: 7}
expect:
  status: completed
  outputs: {ticket: 7}
""",
}


def skeleton(name: str) -> dict[str, str]:
    """Give its files, by path below ``packs/<name>/``."""
    files = {
        path.replace("@name@", name): text.replace("@name@", name) for path, text in _FILES.items()
    }
    return {f"actions/{NAME}": kit(), **files}

"""Which actions a change of the desired state is: what has to be asked before ``main`` moves.

Who is given roles in ``principals.yaml`` changes who may do what: that is a change
of policy, so that no policy can be got around by joining the ones whom it names.
"""

from collections.abc import Iterable, Mapping
from typing import Final

PROMOTION: Final = "blueprint.promote"
"""Of blueprints and of all that no line below names: prompts, tests, sources, other files."""

_OF_KIND: Final[Mapping[str, str]] = {
    "known_hosts": "node.change",
    "node": "node.change",
    "pack": "pack.promote",
    "policy": "policy.change",
    "prices": "node.change",
    "principals": "policy.change",
    "secret": "secret.change",
}


def actions_of(kinds: Iterable[str]) -> list[str]:
    """Give the actions that a change of documents of these kinds is, each once, sorted."""
    return sorted({_OF_KIND.get(kind, PROMOTION) for kind in kinds})

"""``git.repo.clone``: bring another repository, or what is new in it.

From ``http``, ``https`` and ``ssh``, under the egress rule of ``http.call``, or from another
repository that the node manages. Branches over there become ``origin/<branch>``; the branch
of the same name follows as long as it has no commits of its own. A branch that is gone over
there is gone from ``origin/``. Tags come along, submodules do not. The address and the
credentials are remembered nowhere.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from xyn_reconciler.action import git_managed
from xyn_reconciler.action.context import ActionContext
from xyn_reconciler.action.http_call import BASIC
from xyn_reconciler.action.watch import go_on
from xyn_reconciler.model.capability import ActionSpec
from xyn_reconciler.model.errors import PermanentError, StepError, TemporaryError, XynError

if TYPE_CHECKING:
    from xyn_reconciler.store.managed_git import Fetched

LISTED: Final = 1000

_REFERENCE: Final = {"type": "string", "minLength": 1}

SPEC: Final = ActionSpec(
    "git.repo.clone",
    "Bring another repository, or what is new in it.",
    {
        "type": "object",
        "additionalProperties": False,
        "required": ["repository"],
        "oneOf": [{"required": ["url"]}, {"required": ["from"]}],
        "properties": {
            "repository": git_managed.REPOSITORY,
            "url": {
                "type": "string",
                "minLength": 1,
                "description": "http://, https:// or ssh://, without a password.",
            },
            "from": {
                **git_managed.REPOSITORY,
                "description": "Another managed repository, in place of a URL.",
            },
            "auth": {
                "type": "object",
                "additionalProperties": False,
                "minProperties": 1,
                "maxProperties": 1,
                "description": "For http and https: who to be over there.",
                "properties": {
                    "bearer_ref": _REFERENCE,
                    "basic": BASIC,
                },
            },
            "ca": {
                "type": "string",
                "description": "For https: the authorities to trust, in PEM; else the machine's.",
            },
            "key_ref": {**_REFERENCE, "description": "For ssh: the private key."},
            "known_hosts": {
                "type": "string",
                "description": "For ssh: the keys that the host may show; else the repository's"
                " known_hosts, else those of this machine.",
            },
        },
    },
    {
        "type": "object",
        "required": ["repository", "created", "default_branch", "branches", "diverged"],
        "properties": {
            "repository": {"type": "string"},
            "created": {"type": "boolean"},
            "default_branch": {"type": ["string", "null"]},
            "branches": {
                "type": "object",
                "additionalProperties": {"type": "string"},
                "description": f"Branch to its commit over there, the first {LISTED}.",
            },
            "diverged": {
                "type": "array",
                "items": {"type": "string"},
                "description": "Branches that stay as they are here: they have commits that are"
                " not over there, or a branch here stands in their way.",
            },
        },
    },
    idempotent=True,
    capabilities=frozenset({"git", "network", "secrets"}),
    errors={
        **git_managed.ERRORS,
        "invalid_url": "the URL is none that is fetched from",
        "egress_denied": "the address is not on the public network, and egress does not allow it",
        "host_unresolved": "the name does not resolve",
        "secret_not_found": "a secret that is referred to is not on this node",
        "invalid_secret": "a secret is no text in UTF-8, or cannot be sent in a header",
        "auth_failed": "the other side does not let us in",
        "tls_failed": "the server's certificate is not trusted",
        "host_key_refused": "the host shows a key that is not known, or another one",
        "remote_not_found": "there is no such repository over there",
        "redirected": "the server sends us elsewhere, where we do not follow",
        "content_refused": "what the other side sent is damaged or hostile",
        "conflict": "a tag here stands in the way of one over there",
        "connection": "the other side does not answer, or breaks off",
        "repository_not_found": "there is no managed repository `from`",
        "too_large": "it has more bytes than a managed repository may have",
        "unavailable": "somebody else fetches into this repository just now",
    },
)

_PERMANENT: Final = (
    ("host_key_refused", ("host key verification failed",)),
    (
        "auth_failed",
        ("authentication failed", "permission denied", "could not read username", "error: 403"),
    ),
    ("tls_failed", ("certificate",)),
    ("remote_not_found", ("not found", "does not appear to be a git repository", "error: 404")),
    ("redirected", ("redirect", "error: 30")),
    ("conflict", ("cannot lock ref",)),
    ("content_refused", ("fsck", "index-pack failed", "unpack", "bad object", "missing blob")),
)
"""What git says in lower case, and what it means; the first that fits."""


class GitRepoClone:
    """Fetches into what ``node`` lends."""

    spec = SPEC

    def __init__(self, managed: git_managed.Managed) -> None:
        self._managed = managed

    def run(self, inputs: Mapping[str, Any], context: ActionContext) -> dict[str, Any]:
        try:
            fetched = self._fetch(inputs, context)
        except StepError:
            raise
        except XynError as error:
            if error.code != "git_failed":
                raise
            raise _meaning(error) from error
        name = inputs["repository"]
        context.log(f"repository {name}: {len(fetched.branches)} branches")
        return {
            "repository": name,
            "created": fetched.created,
            "default_branch": fetched.default_branch,
            "branches": dict(list(fetched.branches.items())[:LISTED]),
            "diverged": fetched.diverged[:LISTED],
        }

    def _fetch(self, inputs: Mapping[str, Any], context: ActionContext) -> "Fetched":
        from xyn_reconciler.action.git_remote import remote  # noqa: PLC0415 - by the first step alone
        from xyn_reconciler.store.managed_git import Remote  # noqa: PLC0415 - as above

        managed = git_managed.repositories(self._managed)
        name = inputs["repository"]

        def look() -> None:
            go_on(context)

        if "from" in inputs:
            local = Remote(url=managed.address(inputs["from"]), protocol="file")
            return managed.fetch(name, local, look)
        with remote(inputs, context) as found:
            return managed.fetch(name, found, look)


def _meaning(error: XynError) -> StepError:
    said = error.message.lower()
    for code, words in _PERMANENT:
        if any(word in said for word in words):
            return PermanentError(code, error.message)
    return TemporaryError("connection", error.message)

"""Whatever bytes are pushed, as a pack, its settings, prices or secrets: problems, no fault."""

import random
from typing import Final

import pytest

from xyn_reconciler.action.registry import installed_actions
from xyn_reconciler.desired.load import load
from xyn_reconciler.desired.state import DesiredState
from xyn_reconciler.desired.validate import check
from xyn_reconciler.model.capability import Catalogue
from xyn_reconciler.template import template_files

PATHS: Final = (
    "packs/acme/pack.yaml",
    "packs/acme/settings.yaml",
    "packs/acme/blueprints/a.yaml",
    "packs/acme/sources/a.yaml",
    "packs/acme/policies/a.yaml",
    "packs/acme/tests/a.yaml",
    "packs/acme/examples/a.yaml",
    "packs/acme/actions/a.py",
    "packs/acme/config/a.yaml",
    "packs/acme/schemas/a.json",
    "packs/acme/migrations/0001_a.sql",
    "packs/acme/compose.yaml",
    "packs/acme/prompts/a.md",
    "packs/../acme/pack.yaml",
    "packs/acme/pack.yml",
    "known_hosts",
    "prices.yaml",
    "principals.yaml",
    "node.yaml",
    "nodes/n1.yaml",
    "secrets/team/noc/a.age",
    "blueprints/a.yaml",
    "policies/a.yaml",
    "sources/a.yaml",
)
HOSTILE: Final = (
    b"",
    b"\x00",
    b"\xff\xfe\x00",
    b"\xef\xbb\xbfid: acme\n",
    b"null",
    b"[]",
    b"---\n---\n",
    b"a: 1\na: 2\n",
    b"? {a: 1}\n: 2\n",
    b"&a [*a]\n",
    b"a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\nd: [*c, *c]\n",
    b"<<: {id: acme}\n",
    b"!!python/object/apply:os.system [id]\n",
    b"id: !!binary aGk=\n",
    b"id: 1e999\nversion: .nan\n",
    b"id: " + b"9" * 5000 + b"\n",
    b"id: 2026-11-22\nversion: 0x10\nrequires: 0o7\n",
    b"[" * 50_000,
    b"{a: " * 50_000,
    b"- " * 50_000,
    b'id: "\\ud800"\nversion: "\\0"\n',
    b'id: "a\\nb\\e[31m"\n"c\\nd\\e]0;e\\a\\u202e": "{{ f\\x1b }}"\nversion: "g\\nh"\n',
    b"id: acme\n" + b"x" * 300_000,
    b"id: acme\nactions: {acme.a: {request: {url: '{{ ' }}}\n",
    b"id: acme\nversion: 0.1.0\nsettings: {type: object, properties: {a: {pattern: '(a+)+$'}}}\n",
    b"id: acme\nversion: 0.1.0\nsettings: {$ref: 'http://127.0.0.1/x'}\n",
    b"id: acme\nversion: 0.1.0\nsettings: {$ref: '#'}\nactions: {a: 1, 'acme.b': {}, '': null}\n",
    b"id: acme\nversion: 0.1.0\nactions: {acme.a: {run: {file: ../../etc/passwd}}}\n",
    b"id: acme\nversion: 0.1.0\nactions: {acme.a: {run: {file: actions/a.py, in: host}}}\n",
    b"id: acme\nversion: 99999999999999999999.1.0\nxyn_core: '>=>=1'\n",
)


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return Catalogue({name: action.spec for name, action in installed_actions().items()})


def judged(files: dict[str, bytes], catalogue: Catalogue) -> int:
    state = DesiredState.of(load(path, "0" * 40, data) for path, data in files.items())
    found = check(state, list(files), catalogue, whole=True)
    for problem in found.problems:
        # Whoever reads a log or a terminal sees a line a problem, and what stands in the file.
        assert str(problem).isprintable(), repr(str(problem))
        assert "Traceback" not in problem.message
    return len(found.problems)


@pytest.mark.parametrize("path", PATHS)
def test_no_file_of_any_bytes_is_a_fault_of_ours(path: str, catalogue: Catalogue) -> None:
    for data in HOSTILE:
        judged({path: data}, catalogue)


def test_no_template_file_cut_or_mixed_anywhere_is_a_fault_of_ours(catalogue: Catalogue) -> None:
    dice = random.Random(7)
    files = [(path, data) for path, data in template_files() if path.endswith((".yaml", ".json"))]
    words = [
        b"null",
        b"[]",
        b"{}",
        b"-1",
        b'"{{ a }}"',
        b"*",
        b"&a b",
        b"\t",
        b"!x",
        b"1e999",
        b"\xc3",
    ]
    for path, data in files:
        for _ in range(6):
            at = dice.randrange(len(data) + 1)
            word, drop = dice.choice(words), dice.randrange(20)
            judged({path: data[:at] + word + data[at + drop :]}, catalogue)
            judged({path: data[:at]}, catalogue)

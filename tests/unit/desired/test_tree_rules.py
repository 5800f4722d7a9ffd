"""What a tree of the desired state may hold, name by name."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xyn_reconciler.desired.tree_rules import Entry, TreeLimits, check_tree, name_problem

FILE, PROGRAM, FOLDER, LINK, MODULE = 0o100644, 0o100755, 0o040000, 0o120000, 0o160000


@dataclass(frozen=True)
class Folder:
    path: bytes
    entries: tuple[Entry, ...]


def folder(path: str, *names: str | bytes, mode: int = FILE, size: int | None = None) -> Folder:
    """A directory as git would sort it."""
    raw = sorted(name.encode() if isinstance(name, str) else name for name in names)
    return Folder(path.encode(), tuple((name, mode, "0" * 40, size) for name in raw))


def codes(*folders: Folder, limits: TreeLimits | None = None) -> list[tuple[str, str]]:
    return [(found.path, found.code) for found in check_tree(folders, limits or TreeLimits())]


@pytest.mark.parametrize(
    "name",
    [
        "node.yaml",
        "disk full.yaml",
        ".gitignore",
        ".gitattributes",
        ".vscode",
        "Über-Ärger.yaml",
        "日本.yaml",
        "config.con.yaml",
        "console.yaml",
        "a~1",
        "gitlab",
        "-",
        "a'b&c;d$(e)",
    ],
)
def test_ordinary_names_are_taken(name: str) -> None:
    assert name_problem(name.encode()) is None


@pytest.mark.parametrize(
    "name",
    [
        ".git",
        ".GIT",
        ".git ",
        ".git...",
        ".gIt. .",
        "git~1",
        "GIT~27",
        "gitmod~1",
        "GI7EBA~4",
        ".g\u200cit",
        "\ufeff.git",
        ".git::$INDEX_ALLOCATION",
        ".git\\config",
        ".gitmodules",
        ".GitModules",
        "con",
        "AUX.yaml",
        "com1",
        "lpt².txt",
        "nul.tar.gz",
        " a",
        "a ",
        "a.",
        "a:b",
        "a\\b",
        "a*",
        "what?",
        'a"b',
        "a<b",
        "a|b",
        "a\nb",
        "a\x7f",
        "a\x1b[31m",
        "a\u202egpj.yaml",
        "a\u2066b",
        "a\u00adb",
        "a\u200bb",
        "a\u00a0b",
        "a\u2028b",
        "a\ue000b",
        "a\uffff",
        "..",
        ".",
        "",
        "a/b",
        "../x",
        "/etc",
    ],
)
def test_names_that_some_system_or_reader_takes_for_another_are_refused(name: str) -> None:
    found = name_problem(name.encode())

    assert found is not None
    assert found[0] == "name_not_allowed"


@pytest.mark.parametrize("name", [b"\xff", b"caf\xe9.yaml", b"\xed\xa0\x80", b"\xc0\xae"])
def test_names_that_are_not_utf8_are_refused_and_still_printable(name: bytes) -> None:
    (found,) = check_tree([folder("a", name)])

    assert found.code == "name_not_utf8"
    assert str(found).isprintable()
    assert str(found).startswith("a/")


def test_a_problem_stands_at_the_entry_that_it_names() -> None:
    (found,) = check_tree([folder("blueprints/ops", "ok.yaml", "a:b.yaml")])

    assert str(found).startswith("blueprints/ops/a:b.yaml:1:1: name_not_allowed: : may not stand")


@pytest.mark.parametrize(
    ("mode", "word"),
    [
        (LINK, "symbolic link"),
        (MODULE, "submodule"),
        (0o100664, "mode 100664"),
        (0o100600, "mode 100600"),
        (0, "mode 0"),
        (0o020000, "mode 20000"),
        (0o040755, "mode 40755"),
    ],
)
def test_only_plain_files_and_directories_are_taken(mode: int, word: str) -> None:
    (found,) = check_tree([folder("", "x", mode=mode)])

    assert (found.path, found.code) == ("x", "not_a_plain_file")
    assert word in found.message


def test_files_programs_and_directories_are_fine() -> None:
    assert not check_tree([folder("", "a", mode=mode) for mode in (FILE, PROGRAM, FOLDER)])


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Disk.yaml", "disk.yaml"),
        ("straße", "STRASSE"),
        ("caf\u00e9", "cafe\u0301"),
        ("\u00c9T\u00c9", "e\u0301te\u0301"),
        ("K", "\u212a"),
    ],
)
def test_names_that_some_file_system_does_not_tell_apart_collide(one: str, other: str) -> None:
    (found,) = check_tree([folder("a", one, other)])

    assert found.code == "name_collision"
    named = found.message.partition(" this is ")[2].partition(":")[0]
    assert {found.path, f"a/{named}"} == {f"a/{one}", f"a/{other}"}


def test_the_same_name_in_two_directories_does_not_collide() -> None:
    assert not check_tree([folder("a", "x"), folder("b", "X")])


def test_a_name_twice_and_entries_out_of_order_are_refused() -> None:
    entries = tuple((name, FILE, "0" * 40, None) for name in (b"b", b"a", b"a"))

    assert codes(Folder(b"d", entries)) == [("d", "tree_not_sorted"), ("d/a", "duplicate_entry")]


def test_git_sorts_a_directory_as_if_it_ended_with_a_slash() -> None:
    entries: tuple[Entry, ...] = ((b"a.b", FILE, "0", None), (b"a", FOLDER, "0", None))

    assert not check_tree([Folder(b"", entries)])


def test_a_hostile_path_is_printed_on_one_line_and_cut() -> None:
    (found,) = check_tree([Folder(b"a\n\x1b[2J" * 100, ((b"b\r", FILE, "0", None),))])

    assert str(found).isprintable()
    assert len(found.path) < 350


def test_caps_on_depth_length_count_and_size() -> None:
    limits = TreeLimits(depth=2, name_bytes=8, path_bytes=12, directory_entries=3, file_bytes=10)

    assert codes(folder("a/b", "x", size=10), limits=limits) == []
    assert codes(folder("a/b/c", "x", "y"), limits=limits) == [("a/b/c", "too_deep")]
    assert codes(folder("", "ninechars"), limits=limits) == [("ninechars", "name_too_long")]
    assert codes(folder("abcdef", "ghijkl"), limits=limits) == [("abcdef/ghijkl", "name_too_long")]
    assert codes(folder("a", *"1234"), limits=limits) == [("a", "too_many_entries")]
    assert codes(folder("", "big", size=11), limits=limits) == [("big", "file_too_large")]


def test_a_tree_without_end_is_not_read_to_its_end() -> None:
    read = 0

    def endless() -> Iterator[Folder]:
        nonlocal read
        while True:
            read += 1
            yield folder(f"d{read}", "x")

    found = check_tree(endless(), TreeLimits(entries=50))

    assert [problem.code for problem in found] == ["too_many_entries"]
    assert read == 26


def test_a_thousand_bad_names_are_cut_to_what_a_person_reads() -> None:
    found = check_tree([folder(f"d{n}", "a:b") for n in range(1000)], TreeLimits(problems=20))

    assert len(found) == 21
    assert found[-1].code == "too_many_problems"


@given(st.lists(st.binary(max_size=12), max_size=8), st.integers(0, 0o177777))
def test_no_bytes_break_the_check_and_every_answer_is_printable(
    names: list[bytes], mode: int
) -> None:
    found = check_tree([folder("d", *names, mode=mode)])

    assert all(str(problem).isprintable() for problem in found)


@given(st.text(min_size=1, max_size=12))
def test_a_name_that_is_taken_survives_a_round_trip_through_any_file_system_rule(name: str) -> None:
    try:
        raw = name.encode()
    except UnicodeEncodeError:
        return
    if name_problem(raw) is None:
        assert name.isprintable()
        assert not set(name) & set('/\\:*?"<>|\0')
        assert name.strip(" ").rstrip(".") == name
        assert name.casefold() != ".git"

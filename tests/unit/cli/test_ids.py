"""Ids typed in part, as a list shows their beginning and a page their end."""

import typing

import pytest

from xyn_reconciler.cli.client import Client
from xyn_reconciler.cli.ids import find_id
from xyn_reconciler.model.errors import ConflictError, NotFoundError

ONE = "01a20578-d427-7feb-8880-237f69ed1f94"
OTHER = "01a20578-d1ab-7c62-a725-45e57c1184e1"


class Listing:
    """A node that has two runs."""

    def items(self, path: str, *, limit: int) -> list[dict[str, str]]:
        assert (path, limit) == ("/runs", 200)
        return [{"run_id": ONE}, {"run_id": OTHER}]


def found(text: str) -> str:
    return find_id(typing.cast("Client", Listing()), "runs", "run_id", text)


@pytest.mark.parametrize("text", ["01a20578-d427", "69ed1f94", "69ED1F94", ONE])
def test_an_id_is_known_by_its_beginning_and_by_the_end_that_pages_show(text: str) -> None:
    assert found(text) == ONE


@pytest.mark.parametrize("text", ["d427", "f94", "nope", ""])
def test_neither_its_middle_nor_less_than_four_characters_name_it(text: str) -> None:
    with pytest.raises(NotFoundError, match="xynctl run list shows the ids"):
        found(text)


def test_what_fits_two_names_neither() -> None:
    with pytest.raises(ConflictError, match="begins or ends the ids of 2 runs"):
        found("01a20578")

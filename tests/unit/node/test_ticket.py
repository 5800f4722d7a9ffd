import datetime as dt
from pathlib import Path

import pytest

from xyn_reconciler.model.principal import Principal
from xyn_reconciler.node.home import Home
from xyn_reconciler.node.ticket import HOOKS_OF_A_PUSH, LIFETIME, Tickets, ensure_key

NOW = dt.datetime(2026, 1, 2, tzinfo=dt.UTC)
ADA = Principal("ada", kind="person", roles=frozenset({"Operator"}), teams=frozenset({"night"}))


class Clock:
    now = NOW

    def __call__(self) -> dt.datetime:
        return self.now


@pytest.fixture
def place(tmp_path: Path) -> Home:
    home = Home(tmp_path)
    home.create()
    ensure_key(home)
    return home


def test_a_ticket_of_one_process_stands_for_its_principal_in_another(place: Home) -> None:
    ticket = Tickets.of(place, Clock()).issue(ADA)

    assert Tickets.of(place, Clock()).redeem(ticket) == ADA


def test_a_role_that_is_started_later_shares_the_key(place: Home) -> None:
    ticket = Tickets.of(place, Clock()).issue(ADA)

    ensure_key(place)

    assert Tickets.of(place, Clock()).redeem(ticket) == ADA


def test_a_ticket_serves_the_hooks_of_one_push_and_no_more(place: Home) -> None:
    tickets = Tickets.of(place, Clock())
    ticket = tickets.issue(ADA)

    redeemed = [tickets.redeem(ticket) for _ in range(HOOKS_OF_A_PUSH + 1)]

    assert redeemed == [ADA] * HOOKS_OF_A_PUSH + [None]


def test_an_old_a_changed_and_a_made_up_ticket_stand_for_nobody(place: Home) -> None:
    clock = Clock()
    tickets = Tickets.of(place, clock)
    ticket = tickets.issue(ADA)
    body, _, signature = ticket.partition(".")

    clock.now = NOW + LIFETIME
    old = tickets.redeem(ticket)
    clock.now = NOW

    assert old is None
    assert tickets.redeem(f"{body}.{signature[::-1]}") is None
    assert tickets.redeem("") is None
    assert tickets.redeem("ü.x") is None

"""A look at apps in a process of its own, for tests that kill it: URL, the active packs."""

import datetime as dt
import json
import sys
import threading

from xyn_reconciler.model.run import PlanPack
from xyn_reconciler.reconcile.compose import ManagedApps
from xyn_reconciler.store.database import Database


def main(url: str, packs: str) -> None:
    active = {
        name: (definition, PlanPack.model_validate(pack))
        for name, (definition, pack) in json.loads(packs).items()
    }
    with Database(url) as database:
        ManagedApps(
            database=database,
            packs=lambda _: active,
            secret=lambda _: "a-token-of-the-shop",
            key=b"k",
            clean=lambda said: said,
            clock=lambda: dt.datetime.now(dt.UTC),
        ).look(threading.Event())


if __name__ == "__main__":
    main(*sys.argv[1:])

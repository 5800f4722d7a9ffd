"""The items of a ``foreach`` step, as its journal has them."""

from xyn_reconciler.model.run import ItemView, StepStatus
from xyn_reconciler.run.journal import Journal


def item_of(journal: Journal, key: str, index: int) -> ItemView:
    items = journal.steps[key].items or ()
    return next((item for item in items if item.index == index), ItemView(index=index))


def set_item(journal: Journal, key: str, item: ItemView) -> None:
    others = {one.index: one for one in journal.steps[key].items or ()}
    items = others | {item.index: item}
    journal.change(key, items=tuple(items[index] for index in sorted(items)))


def settle_items(journal: Journal, key: str) -> None:
    """With no item under way the step waits: for a retry, for runs, or to be looked at at once."""
    items = journal.steps[key].items or ()
    if any(item.status is StepStatus.RUNNING for item in items):
        return
    awaits = any(item.awaited for item in items)
    moments = [item.available_at for item in items if item.available_at is not None]
    journal.change(
        key,
        status=StepStatus.WAITING,
        available_at=min(moments, default=None),
        rest={"wait_reason": "run" if awaits else "retry"},
    )

import importlib.util
from pathlib import Path

from xyn_reconciler.model.internal_events import INTERNAL_EVENTS

BUILDER = Path(__file__).parents[3] / "docs" / "build_events.py"


def test_the_page_of_events_is_what_the_list_of_events_says() -> None:
    spec = importlib.util.spec_from_file_location("build_events", BUILDER)
    assert spec is not None
    assert spec.loader is not None
    builder = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(builder)

    page = builder.PAGE.read_text(encoding="utf-8")

    assert page == builder.page(), "run: python docs/build_events.py"
    assert all(f"\n## {name}\n" in page for name in INTERNAL_EVENTS)

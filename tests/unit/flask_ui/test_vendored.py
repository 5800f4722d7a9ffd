import gzip
import hashlib
import re
from pathlib import Path

import flask_ui

STATIC = Path(flask_ui.__file__).parent / "static"
VENDOR = STATIC / "vendor"


def test_what_is_not_ours_is_what_its_list_says() -> None:
    listed = dict(
        re.findall(
            r"^\| (\S+) \|.*\| ([0-9a-f]{64}) \|$",
            (VENDOR / "VENDORED.md").read_text(),
            re.MULTILINE,
        )
    )

    found = {
        file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in VENDOR.glob("*.js")
    }
    assert found == listed


def test_its_licence_lies_beside_it() -> None:
    for script in VENDOR.glob("*.js"):
        assert (VENDOR / script.name.replace(".min.js", ".LICENSE")).is_file()


def test_what_every_page_loads_is_small() -> None:
    loaded = [VENDOR / "htmx.min.js", STATIC / "app.js", STATIC / "app.css", STATIC / "icon.svg"]

    assert sum(len(gzip.compress(file.read_bytes())) for file in loaded) < 30 * 1024

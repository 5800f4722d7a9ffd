import re
import subprocess
import sys
from pathlib import Path

from tests.integration.record.record_world import World
from tests.neighbours import neighbour

CALL = re.compile(r"\d+ +(?P<name>\w+)\((?P<arguments>.*)\) += 0(?:<[^>]*>)?$")


def trace(world: World, folder: Path) -> list[tuple[str, str]]:
    """Drain in a process under strace; its calls that make things durable or move a name."""
    log = folder / "strace.txt"
    subprocess.run(
        [
            *("strace", "-f", "-y", "-s", "200", "-o", str(log)),
            *("-e", "trace=fsync,fdatasync,syncfs,rename,renameat,renameat2,link"),
            *(sys.executable, "-m", "tests.crash.dying_committer"),
            *(world.database.url, str(world.repository.path), str(world.artifacts.root)),
        ],
        check=True,
        timeout=120,
    )
    found = (CALL.match(line) for line in log.read_text().splitlines())
    return [(call["name"], call["arguments"]) for call in found if call is not None]


def test_a_batch_is_on_disk_with_its_names_before_its_ref_moves(
    world: World, tmp_path: Path
) -> None:
    neighbour("strace", "strace")  # nothing else sees what was synced, and when
    world.happen()

    calls = trace(world, tmp_path)

    (month,) = world.repository.refs("refs/xyn/runs/")
    pack = f"{world.repository.path}/objects/pack"
    moved = next(n for n, (name, said) in enumerate(calls) if "rename" in name and month in said)
    before, after = calls[:moved], calls[moved + 1 :]
    named = [n for n, (name, said) in enumerate(before) if "rename" in name and pack in said]
    synced = [n for n, (name, said) in enumerate(before) if name == "fsync" and "tmp_pack_" in said]
    folder = [n for n, (name, said) in enumerate(before) if name == "fsync" and f"<{pack}>" in said]
    assert len(named) == 2  # pack and index
    assert len(synced) >= 2
    assert synced[0] < named[0]
    assert synced[1] < named[1]
    assert folder[-1] > named[1]
    assert any(name == "fsync" and f"{month}.lock" in said for name, said in before)
    assert any(
        name == "fsync" and f"<{(world.repository.path / month).parent}>" in said
        for name, said in after
    )

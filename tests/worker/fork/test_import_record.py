"""What a template is to import."""

import subprocess
import sys
from pathlib import Path

import tidegate_worker

OVERLAY = Path(tidegate_worker.__file__).parents[1]


def test_the_accelerators_of_the_overlay_are_on_record(tmp_path: Path) -> None:
    overlay = tmp_path / "overlay"
    overlay.mkdir()
    (overlay / "tidegate_worker").symlink_to(OVERLAY / "tidegate_worker")
    (overlay / "speedup.py").touch()
    (tmp_path / "elsewhere.py").touch()
    script = f"""
import sys
sys.path[:0] = [{str(overlay)!r}, {str(tmp_path)!r}]
import speedup, elsewhere, json, tidegate_worker.ipc.wire
from tidegate_worker.fork.import_record import imported_names
print(*imported_names("/nowhere"))
"""
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    names = run.stdout.split()
    assert {"speedup", "json", "tidegate_worker.ipc.wire"} <= set(names)
    assert "elsewhere" not in names

"""Every branch of the session core is run by the core's own tests; what is not is named here, by its line."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
CORE = {
    *("actions", "deletion", "holder", "house", "inputs", "limits", "listener", "record", "retelling"),
    *("saying", "settling", "spending", "starts", "state", "step", "turns"),
}
TESTS = sorted(
    str(path.relative_to(ROOT))
    for pattern in ("test_session_*.py", "test_protocol_table.py", "test_house.py")
    for path in (ROOT / "tests").glob(pattern)
)


def test_every_branch_of_the_core_is_tested(tmp_path: Path) -> None:
    data, report = tmp_path / "coverage", tmp_path / "coverage.json"
    include = ",".join(f"session/{name}.py" for name in CORE)
    pytest = ["-m", "pytest", "-q", "-p", "no:cacheprovider"]
    coverage = [sys.executable, "-m", "coverage"]
    ran = subprocess.run(
        [*coverage, "run", f"--data-file={data}", "--branch", f"--include={include}", *pytest, *TESTS],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stdout[-4000:] + ran.stderr[-2000:]
    subprocess.run([*coverage, "json", "-q", f"--data-file={data}", "-o", report], cwd=ROOT, check=True)
    files = json.loads(report.read_text())["files"]
    assert set(files) == {f"session/{name}.py" for name in CORE}
    missing = [
        f"{name}: lines {found['missing_lines']}, branches {found['missing_branches']}"
        for name, found in files.items()
        if found["missing_lines"] or found["missing_branches"]
    ]
    assert not missing, "never run by the core's tests:\n" + "\n".join(missing)
    assert sum(found["summary"]["num_branches"] for found in files.values()) > 100  # it did measure

"""What a command loads before it answers: `explain` is to take 0.3 s, which a few needless imports cost already."""

from __future__ import annotations

import subprocess
import sys

import pytest

import ilora_diag.schema

# Each costs 20 to 100 ms; none of them says anything about an error text.
NEEDLESS = ("pydantic", "numpy", "omegaconf", "yaml", "torch", "pynvml", "ilora", "matplotlib")
RECORDS = ("estimate", "train_run", "timeline", "snapshot", "report", "script_run")


@pytest.mark.parametrize(
    ("args", "status"),
    [
        (("explain", "DRV001"), 0),
        (("explain", "--list"), 0),
        (("explain", "--text", "RuntimeError: CUDA driver error: operation not supported"), 1),
        (("explain", "--json", "--text", "CUDA out of memory. Tried to allocate 2.00 GiB"), 1),
    ],
)
def test_explain_loads_only_what_it_needs(args: tuple[str, ...], status: int) -> None:
    script = (
        "import sys\nsys.argv = ['ilora-diag', *sys.argv[1:]]\nfrom ilora_diag.cli import main\n"
        f"try:\n    main()\nexcept SystemExit as end:\n    assert end.code == {status}, end.code\n"
        f"loaded = {set(NEEDLESS)!r} & {{name.partition('.')[0] for name in sys.modules}}\n"
        f"loaded |= {{'ilora_diag.schema.' + name for name in {RECORDS!r}}} & set(sys.modules)\n"
        "if '--json' in sys.argv:\n    loaded |= {'rich'} & set(sys.modules)\n"
        "sys.stderr.write(','.join(sorted(loaded)))\n"
    )
    result = subprocess.run([sys.executable, "-c", script, *args], capture_output=True, text=True, timeout=60)
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout


def test_every_record_of_the_package_is_found_when_asked_for() -> None:
    for name in ilora_diag.schema.__all__:
        assert getattr(ilora_diag.schema, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'Nonsense'"):
        _ = ilora_diag.schema.Nonsense

"""What the virtual device carries of PyTorch and transformers: `python -m benchmarks.coverage [PART ...]`.

Parts are operators, modules, optimizers (PyTorch's own samples; they need the package expecttest, which `make coverage`
installs) and causal, masked, seq2seq, image (architectures of transformers). No weights are downloaded; all of it takes
about seven minutes on two cores.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import sys
import warnings


def main(argv: list[str] | None = None) -> int:
    """Print what is not carried. Returns 1 where something failed that fails nowhere else, 4 where a package lacks."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    from benchmarks.coverage import models, modules, operators
    from benchmarks.coverage.outcome import show

    samples = {"operators": operators.operators, "modules": modules.modules, "optimizers": modules.optimizers}
    parts = [*samples, *models.KINDS]
    parser = argparse.ArgumentParser(prog="python -m benchmarks.coverage", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(parts)}; default: all")
    chosen = parser.parse_args(argv).parts or parts
    if unknown := [part for part in chosen if part not in parts]:
        parser.error(f"{', '.join(unknown)}: allowed is {', '.join(parts)}")
    warnings.simplefilter("ignore")
    wrong = 0
    for part in chosen:
        if part in samples and importlib.util.find_spec("expecttest") is None:
            print(f"{part}: PyTorch's samples need the package expecttest: pip install expecttest", file=sys.stderr)
            return 4
        wrong += show(part, samples[part]() if part in samples else models.models(part))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())

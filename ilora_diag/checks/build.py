"""What the installed torch was built for, against the cards that are there (L7, L8)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from ilora_diag.checks.case import Case, Ground
from ilora_diag.checks.claims import Claim, claim, decides, fits, suggests
from ilora_diag.checks.common import (
    card_expected,
    default_cuda,
    is_cpu_build,
    no_card_here,
    torch_cuda,
    torch_minor,
    torch_version,
)
from ilora_diag.checks.deciders import decider
from ilora_diag.hardware.cuda_versions import parse_cuda
from ilora_diag.hardware.gpu_families import capabilities_in, capability_of
from ilora_diag.hardware.torch_wheels import (
    RELEASE_VARIANTS,
    archs_of,
    impossible,
    parse_capability,
    releases_for,
    runs_on,
    tag,
    variants_for,
)
from ilora_diag.schema import Evidence, Severity, Unavailable

_CPU = r"Torch not compiled with CUDA enabled|compiled without CUDA support|\+cpu\b"
_NO_KERNEL = (
    r"no kernel image is available|is not compatible with the current PyTorch|sm_\d+ is not compatible|"
    r"not compatible(?: with)?[^\n]*sm_|PyTorch no longer supports this GPU|invalid device function|"
    r"too old[^\n]*capabilit|minimum cuda capability supported|which is of cuda capability"
)
_TOO_OLD = r"no longer supports this GPU because it is too old|minimum cuda capability supported"
_SIGNATURES = ("no_kernel_image_209", "arch_warning", "invalid_device_function_98")
_KEPLER = (5, 0)


@dataclass(frozen=True, slots=True)
class _Card:
    cc: tuple[int, int]
    name: str
    evidence: Evidence
    certain: bool


def check(case: Case) -> Iterator[Claim]:
    """All rules of the family."""
    yield from _cpu_only(case)
    yield from _binaries(case)


def _cpu_only(case: Case) -> Iterator[Claim]:
    said = case.error_says(_CPU, "torch_cpu_only")
    if not is_cpu_build(case):
        if said:
            yield claim(
                "BLD004", [suggests(said)], params={"version": case.text("torch.version") or "torch"},
                remedy=_index("cu126"), decider=decider("torch.version"),
            )  # fmt: skip
        return
    version = case.text("torch.version") or ""
    path = "torch.version" if "+cpu" in version else "torch.cuda_build"
    expected = card_expected(case)
    if not expected and not said and (no_card_here(case) or _says_no_gpu(case)):
        return
    if not expected and not said and not case.texts("import.kinds"):
        return
    grounds: list[Ground] = [decides(case.seen(path, "a build with CUDA")) if expected else suggests(case.seen(path))]
    grounds += [suggests(said)] if said else []
    yield claim(
        "BLD004",
        grounds,
        params={"version": version},
        remedy=_index("cu126" if (torch_minor(case) or (2, 6)) >= (2, 6) else "cu118"),
        decider=decider("pci.num_nvidia_gpus"),
        severity=None if expected or said or case.flag("torch.cuda_available") is False else Severity.WARNING,
    )


def _says_no_gpu(case: Case) -> bool:
    """collect_env says "No CUDA" of cards and driver where it looked and found neither; that is not a complaint."""
    return case.flag("torch.cuda_available") is False and case.reason("driver.version").startswith("absent: No CUDA")


def _index(variant: str) -> str:
    return f"python -m pip install --force-reinstall torch --index-url https://download.pytorch.org/whl/{variant}"


def _binaries(case: Case) -> Iterator[Claim]:
    said = case.error_says(_NO_KERNEL, *_SIGNATURES)
    cards = list(_cards(case, said))
    refused = [found for card in cards if (found := _refused(case, card, said)) is not None]
    if refused:
        # The cards that cannot run decide; a second one that can does not help the first.
        yield refused[0]
        return
    if said is None or any(_covered(case, card) for card in cards):
        return
    old = case.error_says(_TOO_OLD)
    yield claim(
        "BLD003" if old else "BLD001",
        [suggests(said)] if old or re.search(r"sm_\d", str(said.observed)) else [fits(said)],
        params=_params(case, cards[0] if cards else None, ()),
        remedy=_index("cu126"),
        decider=decider("torch.archs" if cards else "gpu[0].compute_capability"),
    )


def _cards(case: Case, said: Evidence | None) -> Iterator[_Card]:
    """The cards with a capability: told, known by their name, or named in the message."""
    any_known = False
    for index in case.gpus:
        base = f"gpu[{index}]"
        told = parse_capability(case.text(f"{base}.compute_capability"))
        name = case.text(f"{base}.name") or ""
        if told:
            any_known = True
            yield _Card(told, name or base, case.seen(f"{base}.compute_capability"), certain=True)
        elif name and (known := capability_of(name)):
            several = capabilities_in(name) if known.basis != "card table" else (known,)
            any_known = True
            for one in several:
                yield _Card(one.cc, name, case.seen(f"{base}.name"), certain=not one.unverified)
    if any_known or said is None:
        return
    text = f"{said.observed}\n{case.error}"
    found = re.search(r"capability\s+(?:sm_)?(\d+\.?\d+)|(?:sm_|compute_)(\d{2,3})\b[^\n]{0,40}not compatible", text)
    if found:
        number = found[1] or found[2]
        cc = parse_capability(number if "." in number else f"sm_{number}")
        if cc:
            yield _Card(cc, f"sm_{cc[0]}{cc[1]}", said, certain=False)
            return
    for one in capabilities_in(text):
        yield _Card(one.cc, one.basis, said, certain=False)


def _archs(case: Case) -> tuple[tuple[str, ...], Evidence | None, bool]:
    """(architectures, evidence, whether the build itself told them)."""
    if told := case.texts("torch.archs"):
        return told, case.seen("torch.archs"), True
    if listed := re.search(r"support(?:s|ed)?[^\n]{0,60}?((?:(?:sm|compute)_\d+(?! is not)[,;\s]*){2,})", case.error):
        names = tuple(re.findall(r"(?:sm|compute)_\d+", listed[1]))
        return names, Evidence(path="error:text", observed=" ".join(names), expected="", source="error text"), False
    version, built = torch_version(case), torch_cuda(case)
    if version and built and built[0]:
        known = archs_of(version, built[0], machine=case.text("os.arch") or "x86_64")
        if not isinstance(known, Unavailable):
            return known.names, case.seen(built[1]), False
    return (), case.seen(built[1]) if built else None, False


def _covered(case: Case, card: _Card) -> bool:
    names, _, _ = _archs(case)
    return bool(names) and runs_on(card.cc, names) == "sass"


def _refused(case: Case, card: _Card, said: Evidence | None) -> Claim | None:
    """What the build lacks for a card; None where it has binaries, or nothing is known."""
    names, source, told = _archs(case)
    built = torch_cuda(case)
    cuda = built[0] if built else default_cuda(case)
    never = impossible(card.cc, cuda) if cuda else None
    if names and runs_on(card.cc, names) is not None:
        return None
    if not names and never is None:
        return None
    if case.flag("torch.cuda_available") is None and not case.has("torch.version"):
        return None
    least = "sm_" + f"{card.cc[0]}{card.cc[1]}"
    sure = (told or (never is not None and built is not None)) and card.certain
    grounds: list[Ground] = []
    if source is not None:
        seen = Evidence(
            path=source.path, observed=source.observed, expected=f"binaries for {least}", source=source.source
        )
        grounds.append(decides(seen) if sure else suggests(seen))
    elif never is not None:
        grounds.append(fits(case.seen("torch.version", f"binaries for {least}")))
    grounds.append(fits(card.evidence))
    grounds += [suggests(said)] if said else []
    code, others = _kind(case, card, names, never)
    params = _params(case, card, others)
    return claim(code, grounds, params=params, remedy=_remedy(case, card, others), decider=decider("torch.archs"))


def _kind(case: Case, card: _Card, names: tuple[str, ...], never: str | None) -> tuple[str, tuple[str, ...]]:
    """Whether the card is too new for the build, was dropped from it, or is in no build of this version."""
    version = torch_version(case)
    others = variants_for(version, card.cc, machine=case.text("os.arch") or "x86_64") if version else ()
    built = [cc for cc in map(parse_capability, names) if cc]
    older = never == "older" or (bool(built) and card.cc < min(built)) or _hole(card.cc, built, never)
    if not older:
        return "BLD001", others
    minor = torch_minor(case)
    listed = minor in RELEASE_VARIANTS
    if card.cc < _KEPLER and not (others and listed):
        return "BLD003", others
    return "BLD002", others


def _hole(cc: tuple[int, int], built: list[tuple[int, int]], never: str | None) -> bool:
    """A major that the build skips although it has older ones counts as dropped where newer ones are there too."""
    return never is None and bool(built) and min(built) < cc < max(built) and all(one[0] != cc[0] for one in built)


def _params(case: Case, card: _Card | None, others: tuple[str, ...]) -> dict[str, str | int | float | bool | None]:
    built = torch_cuda(case)
    return {
        "card": card.name if card else "?",
        "sm": f"sm_{card.cc[0]}{card.cc[1]}" if card else "?",
        "version": case.text("torch.version") or "torch",
        "cuda": built[0] if built else default_cuda(case) or "?",
        "variants": ", ".join(tag(one) for one in others) or "-",
    }


def _remedy(case: Case, card: _Card, others: tuple[str, ...]) -> str:
    """The build of the same version that runs on the card; else the nearest version that has one."""
    version = torch_version(case)
    plain = version.split("+")[0] if version else ""
    if others:
        return f"python -m pip install torch=={plain} --index-url https://download.pytorch.org/whl/{tag(others[-1])}"
    fitting = releases_for(card.cc)
    minor = torch_minor(case)
    if not fitting:
        return "ilora-diag estimate --gpu h100   # no official build of torch 1.12 or later runs on this card"
    later = [one for one in fitting if minor is None or parse_cuda(one[0]) is None or _number(one[0]) >= minor]
    release, cuda = later[0] if later else fitting[-1]
    return f"python -m pip install 'torch=={release}.*' --index-url https://download.pytorch.org/whl/{tag(cuda)}"


def _number(text: str) -> tuple[int, int]:
    major, minor = text.split(".")
    return int(major), int(minor)

"""All rules over one case, ranked, with one finding that says so where nothing decides."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from ilora_diag.checks import (
    allocator,
    build,
    containers,
    driver,
    fabric,
    hardware_health,
    libraries,
    limits,
    memory,
    mig,
    training,
    visibility,
)
from ilora_diag.checks.case import Case, quote
from ilora_diag.checks.claims import Claim, undecided
from ilora_diag.checks.common import card_expected, card_works, is_cpu_build, no_card_here, torch_cuda
from ilora_diag.checks.deciders import decider
from ilora_diag.schema import Confidence, Decider, Facts, Finding, Severity

if TYPE_CHECKING:
    from ilora_diag.knowledge.reading import ErrorReading

FAMILIES: tuple[Callable[[Case], Iterator[Claim]], ...] = (
    hardware_health.check,
    containers.check,
    driver.check,
    visibility.check,
    mig.check,
    fabric.check,
    build.check,
    allocator.check,
    memory.check,
    limits.check,
    libraries.check,
    training.check,
)
_SEVERITIES = (Severity.ERROR, Severity.WARNING, Severity.NOTE)
_GROUNDED = (Confidence.CONFIRMED, Confidence.STRONGLY_SUGGESTED)
_NOT_AVAILABLE = (
    r"is_available\(?\)?\W{0,3}(?:(?:is|returns?|returned|gives|says|==?|->)\W{0,3})?False|"
    r"CUDA (?:is )?(?:not available|unavailable|not found|not detected)|"
    r"GPUs? (?:is |are |was )?not (?:detected|found|available|visible|recogni[sz]ed|used)"
)
_LAST_SHARED_LAYER = 5
"""Up to cuInit, whatever is broken breaks every use of a card."""


def judge(facts: Facts, error: ErrorReading | None = None) -> tuple[Finding, ...]:
    """What is wrong, the leading cause first; nothing where nothing is.

    Args:
        facts: of the machine; may be empty.
        error: what an error text says; where it is None, a text among the facts is read.
    """
    return judge_case(case_of(facts, error))


def case_of(facts: Facts, error: ErrorReading | None = None) -> Case:
    """The case; a text among the facts is read where no reading is given."""
    text = facts.get("error.text")
    if error is None and isinstance(text, str) and text.strip():
        from ilora_diag.knowledge.reading import read_error

        error = read_error(text)
    return Case(facts, error)


def judge_case(case: Case) -> tuple[Finding, ...]:
    """As `judge`, of a case that stands already."""
    claims = _kept(made for family in FAMILIES for made in family(case))
    ranked = sorted(claims, key=lambda one: _rank(case, one))
    findings = tuple(one.finding for one in ranked)
    unknown = _unknown(case, ranked)
    if unknown is None:
        return findings
    return (unknown, *findings)


def _kept(claims: Iterable[Claim]) -> list[Claim]:
    """Each code once, the better founded one; what is of use only for want of a cause goes where there is one."""
    best: dict[str, Claim] = {}
    for made in claims:
        old = best.get(made.finding.code)
        if old is None or _sureness(made) < _sureness(old):
            best[made.finding.code] = made
    if _is_kepler(best):
        # Their last driver branch (470 [unverified]) is older than the one the build needs: no driver helps.
        best.pop("DRV001", None)
    kept = list(best.values())
    cause = any(
        not one.fallback and one.finding.severity is Severity.ERROR and one.finding.confidence in _GROUNDED
        for one in kept
    )
    return [one for one in kept if not (one.fallback and cause)]


def _is_kepler(best: dict[str, Claim]) -> bool:
    """Whether a build refuses a card of compute capability 3.x."""
    refused = [best[code].finding.parameters for code in ("BLD002", "BLD003") if code in best]
    return any(str(dict(parameters).get("sm", "")).startswith("sm_3") for parameters in refused)


def _sureness(made: Claim) -> int:
    return list(Confidence).index(made.finding.confidence)


def _rank(case: Case, made: Claim) -> tuple[int, int, int, int, int, str]:
    finding = made.finding
    blocks = made.layer <= _LAST_SHARED_LAYER and finding.confidence is Confidence.CONFIRMED and not card_works(case)
    return (
        _SEVERITIES.index(finding.severity),
        0 if blocks else 1 if made.explains or not case.has_error else 2,
        0 if finding.confidence in _GROUNDED else 1,
        made.layer,
        _sureness(made),
        finding.code,
    )


def _unknown(case: Case, ranked: list[Claim]) -> Finding | None:
    """The finding of a symptom that nothing accounts for."""
    errors = [one for one in ranked if one.finding.severity is Severity.ERROR]
    told = no_card_here(case) or any(map(case.has, _about_a_card(case)))
    if not told and not ranked and not case.has_error:
        return undecided(quote("facts:", "no facts"), decider("nvml.status"), variant="nothing")
    if case.has_error:
        # "CUDA is not available" is what every broken layer looks like: whatever is founded accounts for it.
        bare = case.error_says(_NOT_AVAILABLE) is not None and (case.reading is None or case.reading.leading is None)
        enough = _GROUNDED if bare else (Confidence.CONFIRMED,)
        accounted = any(one.explains for one in ranked) or any(one.finding.confidence in enough for one in errors)
        return None if accounted else _unexplained_error(case)
    if errors or no_card_here(case):
        return None
    used = {one.path for claim in ranked for one in claim.finding.evidence}
    if (symptom := driver.unexplained(case)) and symptom.path not in used:
        return undecided(
            symptom,
            decider("kernel_log.xid_lines"),
            variant="code",
            params={"what": symptom.path.removeprefix("facts:")},
        )
    for index in case.gpus:
        path = f"gpu[{index}].nvml_status"
        if case.integer(path) not in (None, 0):
            return undecided(
                case.seen(path, "0"), decider("kernel_log.xid_lines"), variant="code", params={"what": path}
            )
    built = torch_cuda(case) is not None and not is_cpu_build(case)
    built = built or (not case.has("torch.version") and card_expected(case))  # then the build is what is to be told
    if case.flag("torch.cuda_available") is False and built and not case.text("torch.rocm_build"):
        return undecided(case.seen("torch.cuda_available", "True"), _next(case), variant="unavailable")
    return None


def _about_a_card(case: Case) -> Iterator[str]:
    """Paths of which one has to be known before anybody can say that a machine is healthy."""
    for prefix in (
        "driver.",
        "gpu[",
        "cuda.",
        "nvml.",
        "dev.",
        "pci.",
        "module.",
        "torch.cuda_available",
        "kernel_log.",
    ):
        yield from case.paths(prefix)


def _next(case: Case) -> Decider:
    """The cheapest fact that is missing of those that say why CUDA is not available."""
    order = ("torch.version", "cuda.init_code", "env.CUDA_VISIBLE_DEVICES", "dev.nvidia-uvm", "nvml.status")
    return decider(next((path for path in order if not case.has(path)), "torch.cuda_available"))


def _unexplained_error(case: Case) -> Finding:
    driver_check = case.error_says(r"CUDA driver error:", "vmm_not_supported", "driver_check_other")
    if driver_check is not None and allocator.setting(case).expandable:
        return undecided(driver_check, decider("gpu[0].probe.create_h1"), variant="driver_check_on")
    if driver_check is not None:
        return undecided(driver_check, decider("torch.allocator_settings"), variant="driver_check")
    leading = case.reading.leading if case.reading is not None else None
    if leading is not None:
        symptom = quote(f"error:line {leading.first_line}", leading.excerpt)
        explain = Decider(fact="error.text", command="ilora-diag explain FILE")
        return undecided(symptom, explain, variant="signature", params={"signature": leading.id})
    text = next((line for line in case.error.splitlines() if line.strip()), "an error text")
    enough = Decider(fact="error.text", command="ilora-diag explain FILE   # the whole log, from its first error on")
    return undecided(quote("error:line 1", text), enough, variant="error")

"""The vocabulary of causes is a contract: codes, words, sentences in both languages."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from benchmarks.diagnosis_cases import MUTATIONS, mutated
from ilora_diag.bisect.catalogue import NEW_CATEGORIES
from ilora_diag.checks.categories import BY_CATEGORY, BY_CODE, CATEGORIES, FOUND_BY_TRIALS, VOCABULARY
from ilora_diag.checks.judging import judge
from ilora_diag.checks.layers import SECTIONS
from ilora_diag.knowledge.pages import find_page
from reports.messages import LANGUAGES, Words
from reports.view.env_check import finding_consequence, finding_title

PROMISED = (
    "driver_too_old driver_or_build_mismatch no_sm_in_wheel arch_dropped gpu_too_old cpu_only_wheel no_driver_visible "
    "driver_library_mismatch forward_compat_804 ld_library_path_shadow library_mix cudnn_mismatch torchvision_mismatch "
    "ext_abi_mismatch fabric_manager_missing fabric_manager_version fabric_manager_not_needed container_toolkit_bug "
    "cgroup_reload uvm_after_suspend uvm_missing mig_single_instance mig_nvml_parse mig_no_instance "
    "wrong_visible_devices "
    "expandable_unsupported expandable_not_built tegra_expandable alloc_conf_ignored shm_too_small shm_permission "
    "acs_p2p "
    "masked_oom oom_live_tensors oom_fragmentation oom_other_process oom_capacity_smaller host_oom_kill exclusive_mode "
    "ecc_or_remap xid_hardware gpu_fell_off_bus checkpoint_pickle device_mismatch reentrant_checkpoint "
    "frozen_input_checkpoint healthy unknown "
    "retained_graph retained_outputs second_model_copy kv_cache_in_training hidden_states_output dense_expert_outputs "
    "full_logits padding_to_max eager_attention optimizer_states placement_tensor batch_too_large sequence_too_long"
)
CODES = (
    "HWR001 HWR002 HWR003 DRV001 DRV002 DRV003 DRV004 DRV005 DRV006 DRV007 DRV008 DRV009 DRV010 BLD001 BLD002 "
    "BLD003 BLD004 "
    "LIB001 LIB002 LIB003 LIB004 LIB005 FAB001 FAB002 FAB003 CTR001 CTR002 MIG001 MIG002 MIG003 VIS001 ALC001 "
    "ALC002 ALC003 "
    "ALC004 ALC005 ALC006 ALC007 SHM001 SHM002 LIM001 P2P001 MEM001 MEM002 MEM003 MEM004 MEM005 MEM006 MEM007 "
    "DEV001 DEV002 "
    "TRN001 TRN002 TRN003 TRN004 "
    "TRN005 TRN006 TRN007 TRN008 TRN009 TRN010 TRN011 TRN012 TRN013 TRN014 TRN015 TRN016 TRN017 UNK001"
)


def test_codes_are_frozen_and_stand_once() -> None:
    assert [row.code for row in CATEGORIES] == CODES.split()
    assert len(BY_CODE) == len(BY_CATEGORY) == len(CATEGORIES)


def test_every_promised_word_is_there() -> None:
    assert set(PROMISED.split()) <= set(VOCABULARY)


def test_what_only_trials_find_is_in_the_vocabulary() -> None:
    assert frozenset(NEW_CATEGORIES) == FOUND_BY_TRIALS


@pytest.mark.parametrize("lang", LANGUAGES)
@pytest.mark.parametrize("word", sorted(NEW_CATEGORIES))
def test_what_only_trials_find_has_a_page_with_a_way_out(word: str, lang: str) -> None:
    page = find_page(word, lang)
    assert page is not None
    assert page.code == BY_CATEGORY[word].code
    assert page.text
    assert page.fix
    assert dict(page.lines)["found_by"] == "ilora-diag bisect-oom"
    if lang == "ja":
        assert all(re.search(r"[\u3040-\u30ff]", text) for text in (page.title, page.text, page.fix))


def test_every_layer_has_a_section() -> None:
    assert {layer for plan in SECTIONS for layer in plan.layers} == set(range(13))
    assert {row.layer for row in CATEGORIES} <= set(range(13))


@pytest.mark.parametrize("lang", LANGUAGES)
def test_every_code_has_its_sentences(lang: str) -> None:
    keys = LANGUAGES[lang]
    for row in CATEGORIES:
        assert f"check.{row.code}.consequence" in keys
        assert any(re.fullmatch(rf"check\.{row.code}(\.\w+)?\.title", key) for key in keys)


@pytest.mark.parametrize("lang", LANGUAGES)
def test_every_finding_has_a_page_under_a_line_of_its_own(lang: str) -> None:
    pages = [find_page(row.code, lang) for row in CATEGORIES]
    titles = [page.title for page in pages if page is not None]
    assert len(set(titles)) == len(CATEGORIES)
    for title in titles:
        assert not title.endswith((".", "\N{IDEOGRAPHIC FULL STOP}"))
        assert "{" not in title
        assert lang == "en" or re.search(r"[\u3040-\u30ff]", title)


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda one: str(one.category))
def test_findings_are_told_in_japanese_with_the_same_values(mutation: object) -> None:
    (finding,) = judge(mutated(mutation.changes))  # type: ignore[attr-defined]
    japanese = Words("ja")
    assert finding_title(finding, Words("en")) == finding.title
    assert re.search(r"[\u3040-\u30ff\u4e00-\u9fff]", finding_title(finding, japanese))
    assert re.search(r"[\u3040-\u30ff\u4e00-\u9fff]", finding_consequence(finding, japanese))


def test_every_title_that_a_rule_may_choose_exists(repo_root: Path) -> None:
    """A variant is named in a rule and its words elsewhere; a missing one would only show when it is needed."""
    named = set()
    for path in (repo_root / "ilora_diag" / "checks").glob("*.py"):
        text = path.read_text(encoding="utf-8")
        for code, variant in re.findall(r'claim\(\s*"([A-Z0-9]{6})"[^#]*?variant="([a-z_]+)"', text):
            named.add(f"check.{code}.{variant}.title")
    assert {key for key in named if key not in LANGUAGES["en"]} <= _spanning(named)


def _spanning(named: set[str]) -> set[str]:
    """Matches that ran from one call into the next: their code has no variants at all."""
    return {
        key
        for key in named
        if not any(other.startswith(key[:12]) and other.count(".") == 3 for other in LANGUAGES["en"])
    }

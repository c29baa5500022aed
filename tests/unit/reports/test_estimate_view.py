"""What an estimate says: sums that stay exact, unknowns with their reasons, and where the rest comes from."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ilora_diag.schema import (
    Category,
    CategoryShare,
    Estimate,
    Gap,
    Interval,
    Knob,
    ModuleShare,
    Skipped,
    Unavailable,
    from_json,
)
from reports.blocks import Alert, Bullets, Code, Details, Document, Leaf, Paragraph, Section, Table, Text, spans
from reports.figures import drawn_path
from reports.markdown import render_document
from reports.messages import Words
from reports.module_tree import module_tree, partition
from reports.terminal import TerminalRenderer
from reports.view import estimate_cards
from reports.view.estimate import estimate_document
from reports.view.estimate_peak import shared_beginning
from reports.view.estimate_rests import signed
from reports.view.estimate_story import EstimateStory, bar, percent
from reports.write import write_estimate

MIB, GIB = 1 << 20, 1 << 30


@pytest.fixture
def opt(fixed_estimates: dict[str, Estimate]) -> Estimate:
    return fixed_estimates["opt"]


def _plain(text: Text) -> str:
    return "".join(piece if isinstance(piece, str) else piece.text for piece in spans(text))


def _section(document: Document, title: str) -> Section:
    return next(section for section in document.sections if section.title.endswith(title))


def _table(section: Section, first_column: str) -> list[list[str]]:
    leaves: list[Leaf] = []
    for block in section.blocks:
        leaves += block.blocks if isinstance(block, Details) else [block]
    tables = (leaf for leaf in leaves if isinstance(leaf, Table))
    table = next(table for table in tables if table.columns[0] == first_column)
    return [[_plain(cell) for cell in row] for row in table.rows]


def _with_first_card(estimate: Estimate, **changes: object) -> Estimate:
    card = replace(estimate.cards[0], **changes)  # type: ignore[arg-type]
    cards = (card, *estimate.cards[1:])
    return replace(estimate, cards=cards, peak=card.peak, interval=card.interval, fits=card.fits)


# the first line


def estimate_headline(estimate: Estimate, lang: str) -> str:
    return estimate_cards.headline(EstimateStory(estimate=estimate, words=Words(lang)))


def test_the_first_line_holds_the_answer(opt: Estimate) -> None:
    line = estimate_headline(opt, "en")
    assert line.startswith("opt-125m step: 1.32 GiB of card memory at its peak on H100 (806 MiB allocated, ")
    assert line.endswith("+ 512 MiB CUDA context); fits, at least 78.2 GiB to spare.")
    text = TerminalRenderer("en", brief=True).render_document(estimate_document(opt, "en"))
    assert text.splitlines()[0] == line


def test_what_is_to_spare_is_reckoned_from_the_upper_end(opt: Estimate) -> None:
    card = opt.cards[0]
    interval = replace(card.interval, high_bytes=card.memory_bytes)
    assert "at least 0 B to spare" in estimate_headline(_with_first_card(opt, interval=interval), "en")


def test_too_much_is_reckoned_from_the_lower_end(opt: Estimate) -> None:
    interval = Interval(low_bytes=81 * GIB, high_bytes=90 * GIB, basis="b")
    line = estimate_headline(_with_first_card(opt, memory_bytes=80 * GIB, interval=interval, fits=False), "en")
    assert line.endswith("does not fit, at least 1.00 GiB too much.")


def test_too_close_to_say_is_an_answer_with_its_reason(fixed_estimates: dict[str, Estimate]) -> None:
    estimate = fixed_estimates["tight"]
    assert estimate_headline(estimate, "en").endswith("too close to say whether it fits.")
    bullets = next(b for b in estimate_document(estimate, "en").sections[0].blocks if isinstance(b, Bullets))
    assert "t4: too close to say whether it fits: the interval holds the card's memory" in bullets.items


def test_out_of_memory_names_phase_module_and_request(fixed_estimates: dict[str, Estimate]) -> None:
    estimate = fixed_estimates["load-oom"]
    oom = estimate.cards[0].oom
    assert oom is not None
    line = estimate_headline(estimate, "en")
    assert line.startswith(
        "mistral-7b step: does not fit T4 with 15.0 GiB: out of memory in load, before the first step"
    )
    assert oom.module in line
    codes = [block.text for block in estimate_document(estimate, "en").sections[0].blocks if isinstance(block, Code)]
    assert codes == [oom.message]


def test_many_cards_are_told_apart_in_one_sentence(opt: Estimate, fixed_estimates: dict[str, Estimate]) -> None:
    full = replace(fixed_estimates["load-oom"].cards[0], gpu="v100")
    close = replace(fixed_estimates["tight"].cards[0], gpu="p100")
    document = estimate_document(replace(opt, cards=(*opt.cards[:2], full, close)), "en")
    paragraphs = [block.text for block in document.sections[0].blocks if isinstance(block, Paragraph)]
    assert paragraphs[1] == "Fits h100, a100-80gb. Too close to say on p100. Does not fit v100."
    rows = _table(document.sections[0], "Card")
    assert [row[5] for row in rows] == ["yes", "yes", "no: OOM in load", "too close to say"]
    more = next(t for t in document.sections[0].blocks if isinstance(t, Table) and t.columns[1] == "Name")
    assert [row[3] for row in more.rows] == ["612", "612", "not even 1", "unknown"]


# what the peak consists of


def test_categories_keep_their_order_and_leave_out_what_holds_nothing(opt: Estimate) -> None:
    shuffled = (*reversed(opt.by_category), CategoryShare(category=Category.BUFFER, size_bytes=0))
    document = estimate_document(replace(opt, by_category=shuffled), "en")
    rows = _table(_section(document, "What the peak consists of"), "Category")
    wanted = ["parameters", "gradients", "optimizer states", "activations", "inputs", "temporaries", "workspaces"]
    assert [row[0] for row in rows] == [*wanted, "total"]


def test_layers_are_folded_and_counted_and_a_lone_number_is_kept() -> None:
    shares = [ModuleShare(module=f"model.layers.{n}.fc", size_bytes=100) for n in range(12)]
    shares += [ModuleShare(module="model.head.0", size_bytes=300), ModuleShare(module="", size_bytes=7)]
    rows = partition(module_tree(shares), 10)
    told = [(row.branch.path, row.branch.num_modules, row.size_bytes, row.itself) for row in rows]
    assert told == [("model.layers.*.fc", 12, 1200, False), ("model.head.0", 1, 300, False), ("", 1, 7, True)]


@pytest.mark.parametrize(
    ("names", "paths"),
    [
        (["net.0", "net.2"], ["net.0", "net.2"]),  # an nn.Sequential
        (["net.0", "net.2.fc"], ["net.*", "net.2.fc"]),
        ([f"net.{n}" for n in range(9)], ["net.*"]),
        ([f"layers.{n}.mlp.{m}" for n in (0, 1) for m in (0, 1)], ["layers.*.mlp.0", "layers.*.mlp.1"]),
    ],
)
def test_the_few_parts_of_a_sequential_keep_their_numbers(names: list[str], paths: list[str]) -> None:
    shares = [ModuleShare(module=name, size_bytes=100) for name in names]
    assert sorted(row.branch.path for row in partition(module_tree(shares), 2)) == paths


def test_a_module_that_holds_something_itself_has_a_row_of_its_own() -> None:
    shares = [ModuleShare(module="a", size_bytes=60), ModuleShare(module="a.b", size_bytes=40)]
    rows = partition(module_tree(shares), 10)
    assert [(row.branch.path, row.itself, row.size_bytes) for row in rows] == [("a", True, 60), ("a.b", False, 40)]


NAMES = st.lists(st.sampled_from(["a", "b", "layers", "0", "1", "23", "*", "lora_A"]), max_size=6).map(".".join)


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(NAMES, st.integers(0, 10**12), min_size=1, max_size=40), st.integers(1, 15))
def test_no_byte_is_lost_or_counted_twice(sizes: dict[str, int], limit: int) -> None:
    root = module_tree([ModuleShare(module=name, size_bytes=size) for name, size in sizes.items()])
    assert root.size_bytes == sum(sizes.values())
    rows = partition(root, limit)
    assert sum(row.size_bytes for row in rows) == root.size_bytes
    assert [row.size_bytes for row in rows] == sorted((row.size_bytes for row in rows), reverse=True)


def test_what_is_beyond_ten_modules_is_one_row_and_the_share_of_all_is_whole(opt: Estimate) -> None:
    blocks = tuple(ModuleShare(module=f"m{n}.x", size_bytes=n) for n in range(1, 30))
    rest = opt.peak.allocated_bytes - sum(block.size_bytes for block in blocks)
    many = replace(opt, by_module=(*blocks, ModuleShare(module="big", size_bytes=rest)))
    rows = _table(_section(estimate_document(many, "en"), "What the peak consists of"), "Module")
    assert len(rows) == 11
    assert rows[0][0] == "big"
    # 29 small ones and the big one, of which ten are shown; 1 + ... + 20 bytes are left.
    assert rows[-1][:3] == ["other (20)", "", "210 B"]


def test_a_long_beginning_that_most_names_have_is_abbreviated(opt: Estimate) -> None:
    section = _section(estimate_document(opt, "en"), "What the peak consists of")
    names = [row[0] for row in _table(section, "Module")]
    assert names[:2] == ["~.layers.*.self_attn", "~.embed_tokens"]
    assert {"base_model.model (without what is below)", "base_model.model.lm_head"} <= set(names)
    legend = "~ stands for base_model.model.model.decoder"
    assert legend in [_plain(block.text) for block in section.blocks if isinstance(block, Paragraph)]


@pytest.mark.parametrize(
    ("paths", "beginning"),
    [
        (["a.b.c", "a.b.d", "x"], "a.b"),
        (["a.b.c", "a.x.d"], ""),  # one part in common is not worth a legend
        (["a.b.c", "x.b.c"], ""),
        (["a.b", "a.b.c", "a.b.d"], "a.b"),  # a name is never abbreviated to nothing
        (["a.b.layers.*.c", "a.b.layers.*.d"], "a.b"),
        (["", "a"], ""),
    ],
)
def test_a_beginning_is_abbreviated_where_names_share_it(paths: list[str], beginning: str) -> None:
    assert shared_beginning(paths) == beginning


def test_shares_and_bars_tell_little_from_nothing() -> None:
    assert [percent(part, 10_000) for part in (0, 1, 10, 10_000)] == ["0 %", "<0.1 %", "0.1 %", "100.0 %"]
    assert bar(0, 100) == ""
    assert bar(1, 10**9) == "\N{LEFT ONE EIGHTH BLOCK}"
    assert bar(1, 2) == "\N{FULL BLOCK}" * 12
    assert bar(5, 16) == "\N{FULL BLOCK}" * 7 + "\N{LEFT HALF BLOCK}"


# phases


def test_the_first_phase_that_reaches_the_peak_is_marked(opt: Estimate) -> None:
    rows = _table(_section(estimate_document(opt, "en"), "Peaks by phase"), "Step")
    assert [row for row in rows if row[4]] == [
        ["1", "backward", "790 MiB", "836 MiB", "peak of reserved"],
        ["2", "backward", "806 MiB", "836 MiB", "peak of allocated"],
    ]


# knobs


def test_the_knob_that_buys_most_comes_first_and_the_unknown_last(opt: Estimate) -> None:
    section = _section(estimate_document(opt, "en"), "What a change would buy")
    rows = _table(section, "Change")
    assert rows[0][0] == "train.precision=bf16"
    assert rows[0][2] == "-380 MiB (-45.5 %)"
    assert [row[0] for row in rows[-2:]] == ["lora.r=16", "llm.attn_implementation=flash_attention_2"]
    assert rows[-2][2] == "+12.0 MiB (+1.4 %)"
    assert rows[-1][1:] == ["unknown", "", "another kernel (not computed: flash_attn is not installed)"]
    first = section.blocks[0]
    assert isinstance(first, Paragraph)
    assert _plain(first.text) == "train.precision=bf16 buys most: 380 MiB of reserved memory (45.5 %)."


def test_where_no_knob_saves_none_is_praised(opt: Estimate) -> None:
    same = Knob(change="lora.r=4", peak_allocated_bytes=1, peak_reserved_bytes=opt.peak.reserved_bytes, cost="none")
    block = _section(estimate_document(replace(opt, knobs=(same,)), "en"), "What a change would buy").blocks[0]
    assert isinstance(block, Paragraph)
    assert block.text == "None of these changes lowers reserved memory."
    one_less = replace(same, peak_reserved_bytes=opt.peak.reserved_bytes - 1)
    block = _section(estimate_document(replace(opt, knobs=(one_less,)), "en"), "What a change would buy").blocks[0]
    assert isinstance(block, Paragraph)
    assert "buys most: 1 B" in _plain(block.text)


def test_an_out_of_memory_run_is_no_base_for_differences(fixed_estimates: dict[str, Estimate]) -> None:
    section = _section(estimate_document(fixed_estimates["load-oom"], "en"), "What a change would buy")
    table = next(block for block in section.blocks if isinstance(block, Table))
    assert table.columns == ("Change", "Peak reserved", "What it costs")


def test_differences_carry_their_sign() -> None:
    assert signed(-512, 1024) == "-512 B (-50.0 %)"
    assert signed(512, 1024) == "+512 B (+50.0 %)"
    assert signed(0, 1024) == "0 B"


# the chain


def test_a_level_is_named_only_where_the_bytes_agree(opt: Estimate) -> None:
    rows = _table(_section(estimate_document(opt, "en"), "From the request to the card"), "Part")
    assert [row[3] for row in rows] == ["requested", "allocated", "reserved", "card memory used"]
    requested, rounding, cached, context = opt.chain
    early = (
        replace(requested, size_bytes=requested.size_bytes - 1),
        replace(rounding, size_bytes=rounding.size_bytes + 1),
    )
    rows = _table(_section(estimate_document(replace(opt, chain=(*early, cached, context)), "en"), "card"), "Part")
    assert [row[3] for row in rows] == ["", "allocated", "reserved", "card memory used"]


def test_a_gap_we_have_no_word_for_keeps_its_name(opt: Estimate) -> None:
    *others, context = opt.chain
    odd = (*others, replace(context, size_bytes=context.size_bytes - 5), Gap(name="NCCL | buffers", size_bytes=5))
    document = estimate_document(replace(opt, chain=odd), "ja")
    assert "NCCL \\| buffers" in render_document(document)


# where the rest comes from


@pytest.mark.parametrize(
    ("delta_bytes", "told", "has_section"),
    [(0, "nothing is left to explain", False), (1, "come from somewhere else", True)],
)
def test_the_rest_begins_beyond_the_interval(opt: Estimate, delta_bytes: int, told: str, has_section: bool) -> None:
    document = estimate_document(replace(opt, observed_bytes=opt.interval.high_bytes + delta_bytes), "en")
    alert = next(block for block in document.sections[0].blocks if isinstance(block, Alert))
    assert told in _plain(alert.text)
    assert any(section.title.endswith("Where the rest comes from") for section in document.sections) is has_section


def test_incident_2_is_answered_with_the_difference_and_commands(opt: Estimate) -> None:
    document = estimate_document(
        replace(opt, observed_bytes=16 * GIB, typed=("llm=opt-125m", "train.batch_size=2")), "en"
    )
    section = _section(document, "Where the rest comes from")
    texts = [_plain(block.text) for block in section.blocks if isinstance(block, Paragraph | Code)]
    assert "The step accounts for 1.32 GiB (1.20 to 1.47), so the other 14.7 GiB come from somewhere else." in texts[0]
    for command in (
        "nvidia-smi --query-compute-apps=pid,process_name,used_memory --format=csv",
        "ilora-diag snapshot llm=opt-125m train.batch_size=2 --device cuda",
        "ilora-diag bisect-oom llm=opt-125m train.batch_size=2 --device cuda",
    ):
        assert command in texts[-1].splitlines()


def test_of_a_recommender_no_command_is_named_that_is_of_teachers_alone(opt: Estimate) -> None:
    typed = ("stage=rec", "rec.batch_size=64")
    found = replace(opt, settings=(("stage", "rec"),), typed=typed, observed_bytes=16 * GIB)
    text = render_document(estimate_document(found, "en"))
    assert "recommender step" in text
    assert "nvidia-smi" in text
    assert "snapshot snapshot.pickle" in text
    assert not [line for line in text.splitlines() if line.startswith("ilora-diag") and "stage=rec" in line]


def test_more_than_the_card_has_is_another_card(opt: Estimate) -> None:
    for observed, said in ((opt.cards[0].memory_bytes, False), (opt.cards[0].memory_bytes + MIB, True)):
        text = render_document(estimate_document(replace(opt, observed_bytes=observed), "en"))
        assert ("it is another card" in text) is said


def test_less_than_the_step_needs_is_no_mystery(opt: Estimate) -> None:
    text = render_document(estimate_document(replace(opt, observed_bytes=opt.interval.low_bytes - 1), "en"))
    assert "less than the 1.32 GiB (1.20 to 1.47) that the step needs at its peak" in text


def test_on_a_card_that_was_full_nothing_else_is_blamed(fixed_estimates: dict[str, Estimate]) -> None:
    text = render_document(estimate_document(replace(fixed_estimates["load-oom"], observed_bytes=40 * GIB), "en"))
    assert "needs more than the card has, whatever else is on it" in text
    assert "Where the rest comes from" not in text


# where it is shown


def test_what_is_folded_is_shown_where_there_is_no_file_to_look_in(opt: Estimate) -> None:
    document = estimate_document(opt, "en")
    unfolded = TerminalRenderer("en", brief=True, unfold=True).render_document(document)
    folded = TerminalRenderer("en", brief=True).render_document(document)
    assert "aten::_log_softmax_backward_data" in unfolded
    assert "aten::_log_softmax_backward_data" not in folded
    assert "By operator: 8 of 11 (in report.md)" in folded


def test_figures_are_referred_to_only_where_they_were_drawn(opt: Estimate) -> None:
    assert "![" not in render_document(estimate_document(opt, "en"))
    gone = Skipped(what=drawn_path("timeline"), reason="matplotlib is not installed")
    text = render_document(estimate_document(replace(opt, skipped=(gone,)), "en", figures=True))
    assert text.count("![") == 2
    assert "Figure figures/timeline.svg was not drawn: matplotlib is not installed." in text


def test_names_from_a_script_are_shown_and_never_obeyed(opt: Estimate) -> None:
    hostile = "a|b<script>`x`"
    odd = replace(opt, by_module=(ModuleShare(module=hostile, size_bytes=opt.peak.allocated_bytes),))
    text = render_document(estimate_document(odd, "en"))
    assert "`` a\\|b<script>`x` ``" in text
    assert hostile in TerminalRenderer("en").render_document(estimate_document(odd, "en"))


def test_a_written_estimate_reads_back_and_its_links_exist(opt: Estimate, tmp_path: Path) -> None:
    asked = replace(opt, observed_bytes=16 * GIB, typed=("llm=opt-125m",))
    assert write_estimate(asked, tmp_path, "ja") == asked
    assert from_json(Estimate, (tmp_path / "estimate.json").read_bytes()) == asked
    text = (tmp_path / "report.md").read_text(encoding="utf-8")
    for name in ("waterfall", "icicle", "timeline"):
        assert f"]({drawn_path(name)})" in text
        assert (tmp_path / drawn_path(name)).is_file()


def test_an_estimate_of_nothing_is_told_without_dividing_by_it(opt: Estimate) -> None:
    nothing = replace(opt.peak, requested_bytes=0, allocated_bytes=0, reserved_bytes=0, device_used_bytes=0)
    card = replace(opt.cards[0], peak=nothing, interval=Interval(low_bytes=0, high_bytes=0, basis="b"))
    empty = replace(
        opt, peak=nothing, interval=card.interval, cards=(card,), by_category=(), by_module=(), by_op=(), by_phase=(),
        chain=(), curve=(), knobs=(),
    )  # fmt: skip
    for lang in ("en", "ja"):
        assert "0 B" in render_document(estimate_document(replace(empty, observed_bytes=1), lang, figures=True))


def test_unknown_things_carry_their_reason_once_for_all_cards(opt: Estimate) -> None:
    unknown = Unavailable(reason="the search was cut short", source="search")
    cards = tuple(replace(card, largest_batch_that_fits=unknown) for card in opt.cards)
    document = estimate_document(replace(opt, cards=cards, largest_batch_that_fits=unknown), "en")
    bullets = next(block for block in document.sections[0].blocks if isinstance(block, Bullets))
    assert bullets.items == ("h100, a100-80gb, l4, t4: largest batch unknown: the search was cut short",)

"""Settings read from the environment, as each torch version does."""

from __future__ import annotations

import pytest

from ilora_diag.memory.settings import AllocatorSettings, SettingsError, parse_allocator_settings

MIB = 1 << 20
CUDA, GENERIC = "PYTORCH_CUDA_ALLOC_CONF", "PYTORCH_ALLOC_CONF"


def parse(text: str, version: str = "2.13.0") -> AllocatorSettings:
    return parse_allocator_settings({CUDA: text}, version)


def test_nothing_set_is_the_defaults() -> None:
    assert parse_allocator_settings({}, "2.13.0") == AllocatorSettings()


def test_every_modelled_option() -> None:
    settings = parse(
        "expandable_segments:True, max_split_size_mb:128, max_non_split_rounding_mb:64, roundup_power2_divisions:4,"
        "large_segment_size_mb:12, garbage_collection_threshold:0.6, per_process_memory_fraction:0.5, backend:native"
    )
    assert settings == AllocatorSettings(
        expandable_segments=True,
        max_split_size_bytes=128 * MIB,
        max_non_split_rounding_bytes=64 * MIB,
        garbage_collection_threshold=0.6,
        roundup_power2_divisions=(4,) * 16,
        large_segment_size_bytes=12 * MIB,
        per_process_memory_fraction=0.5,
        variable=CUDA,
    )


def test_divisions_by_interval() -> None:
    """The first boundary counts for all smaller ones; `>` for all after the last."""
    divisions = parse("roundup_power2_divisions:[256:1,512:2,1024:4,>:8]").roundup_power2_divisions
    assert divisions == (1,) * 9 + (2, 4) + (8,) * 5
    settings = parse("roundup_power2_divisions:[2:4,4:8]")
    assert [settings.divisions_for(size * MIB) for size in (1, 2, 3, 4, 8)] == [4, 4, 4, 8, 0]


@pytest.mark.parametrize(
    ("environ", "version", "variable", "expandable"),
    [
        ({CUDA: "expandable_segments:True"}, "2.5.1", CUDA, True),
        ({GENERIC: "expandable_segments:True"}, "2.9.1+cu128", "", False),
        ({GENERIC: "expandable_segments:True"}, "2.10.0", GENERIC, True),
        ({GENERIC: "expandable_segments:True", CUDA: "expandable_segments:False"}, "2.13.0", CUDA, False),
        ({GENERIC: "expandable_segments:True", CUDA: ""}, "2.13.0", CUDA, False),
        ({GENERIC: "nonsense", CUDA: "expandable_segments:True"}, "2.5.0", CUDA, True),
    ],
)
def test_which_variable_wins(environ: dict[str, str], version: str, variable: str, expandable: bool) -> None:
    settings = parse_allocator_settings(environ, version)
    assert (settings.variable, settings.expandable_segments) == (variable, expandable)
    loses = [row for row in settings.ignored if row.name == GENERIC]
    assert bool(loses) == (GENERIC in environ and variable != GENERIC)


@pytest.mark.parametrize(
    ("text", "version", "message"),
    [
        (
            "expandable_segments:true",
            "2.13.0",
            "Expected 'True' or 'False' at index 2 in ConfigTokenizer but got 'true'",
        ),
        ("expandable_segments:1", "2.5.0", "Expected a single True/False argument for expandable_segments"),
        ("expandable_segments:True", "2.0.1", "Unrecognized CachingAllocator option: expandable_segments"),
        ("max_spilt_size_mb:128", "2.13.0", "Unrecognized key 'max_spilt_size_mb' in CUDA allocator config."),
        ("expandable_segments=True", "2.13.0", "Unrecognized key 'expandable_segments=True'"),
        ("max_split_size_mb:19", "2.13.0", "max_split_size_mb too small, must be >= 20"),
        ("max_split_size_mb:20", "2.5.0", "max_split_size_mb too small, must be > 20"),
        ("max_non_split_rounding_mb:10", "2.13.0", "max_non_split_rounding_mb too small, must be >= 20"),
        ("large_segment_size_mb:10", "2.13.0", "large_segment_size_mb must be > 10"),
        ("large_segment_size_mb:12", "2.8.0", "Unrecognized CachingAllocator option: large_segment_size_mb"),
        ("max_split_size_mb:21,large_segment_size_mb:30", "2.14.1", "max_split_size_mb too small, must be >= 30"),
        ("garbage_collection_threshold:1.0", "2.13.0", "garbage_collect_threshold is invalid"),
        ("per_process_memory_fraction:1.5", "2.13.0", "per_process_memory_fraction is invalid"),
        ("roundup_power2_divisions:3", "2.13.0", "the divisions has to be power of 2"),
        ("roundup_power2_divisions:[3:4]", "2.13.0", "the intervals have to be power of 2"),
        ("roundup_power2_divisions:[2:4", "2.13.0", "end where a value should follow"),
        ("max_split_size_mb:big", "2.13.0", "'big' is not a number"),
        ("max_split_size_mb", "2.13.0", "end where a value should follow"),
        ("max_split_size_mb,128", "2.5.0", "Error parsing CachingAllocator settings, expected :"),
        ("backend:jemalloc", "2.13.0", "Unknown allocator backend"),
        ("throw_on_cudamalloc_oom:True", "2.11.0", "Unrecognized key 'throw_on_cudamalloc_oom'"),
        ("expandable_segments_reserve:True", "2.14.1", "Unrecognized key 'expandable_segments_reserve'"),
        ("pinned_max_cached_size_mb:4", "2.12.1", "Unrecognized key 'pinned_max_cached_size_mb'"),
        ("throw_on_cudamalloc_oom:yes", "2.14.1", "Expected 'True' or 'False' at index 2 in ConfigTokenizer"),
        ("pinned_use_background_threads:1", "2.8.0", "Expected a single True/False argument for pinned_use_background"),
        ("pinned_num_register_threads:3", "2.14.1", "Number of register threads has to be power of 2, got 3"),
        ("pinned_num_register_threads:256", "2.14.1", "should be less than or equal to 128, got 256"),
        ("pinned_reserve_segment_size_mb:0", "2.14.1", "Pinned reserve segment size has to be greater than 0"),
        ("pinned_max_cached_size_mb:[1]", "2.14.1", "'[' is not a number"),
        ("max_split_size_mb:18446744073709551616", "2.14.1", "a larger number than torch can hold"),
        ("max_split_size_mb:2147483648", "2.8.0", "a larger number than torch can hold"),
    ],
)
def test_what_torch_refuses(text: str, version: str, message: str) -> None:
    with pytest.raises(SettingsError) as caught:
        parse(text, version)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("text", "version", "split_bytes"),
    [
        ("max_split_size_mb:20", "2.13.0", 20 * MIB),
        ("max_split_size_mb:21", "2.5.0", 21 * MIB),
        ("max_split_size_mb:128MB", "2.13.0", 128 * MIB),
        ("max_split_size_mb:15,large_segment_size_mb:12", "2.14.1", 15 * MIB),
        ("large_segment_size_mb:40,max_split_size_mb:30,large_segment_size_mb:12", "2.14.1", 30 * MIB),
        ("max_split_size_mb,128", "2.13.0", 128 * MIB),
        (" max_split_size_mb : 1 28 ", "2.13.0", 128 * MIB),
        ("pinned_num_register_threads:128,max_split_size_mb:128", "2.14.1", 128 * MIB),
        ("pinned_reserve_segment_size_mb:1,pinned_max_cached_size_mb:0,max_split_size_mb:128", "2.14.1", 128 * MIB),
        ("pinned_max_cached_size_mb:4,pinned_free_catch_all:False,max_split_size_mb:128", "2.13.0", 128 * MIB),
        ("expandable_segments_reserve:True,max_split_size_mb:128", "2.15.0", 128 * MIB),
        ("max_split_size_mb:2147483648", "2.14.1", 2147483648 * MIB),
        ("max_split_size_mb:2147483647", "2.8.0", 2147483647 * MIB),
    ],
)
def test_what_torch_lets_pass(text: str, version: str, split_bytes: int) -> None:
    assert parse(text, version).max_split_size_bytes == split_bytes


def test_what_has_no_effect_is_said() -> None:
    settings = parse("pinned_use_background_threads:True,garbage_collection_threshold:0.8,throw_on_cudamalloc_oom:True")
    assert [row.name for row in settings.ignored] == [
        "pinned_use_background_threads",
        "throw_on_cudamalloc_oom",
        "garbage_collection_threshold",
    ]
    assert "memory fraction" in settings.ignored[-1].reason


def test_a_threshold_with_a_fraction_has_an_effect() -> None:
    assert parse("garbage_collection_threshold:0.8,per_process_memory_fraction:0.9").ignored == ()


def test_a_whole_fraction_is_no_limit() -> None:
    assert parse("per_process_memory_fraction:1.0").per_process_memory_fraction is None


def test_a_name_nobody_dated_is_taken_and_said() -> None:
    assert parse("large_segment_size_mb:12", "2.10.0").doubtful == ("large_segment_size_mb",)
    assert parse("large_segment_size_mb:12", "2.12.0").doubtful == ()


def test_expandable_segments_do_nothing_on_windows() -> None:
    settings = parse_allocator_settings({CUDA: "expandable_segments:True"}, "2.6.0", platform="win32")
    assert not settings.expandable_segments
    assert settings.ignored[0].reason == "expandable_segments not supported on this platform"


@pytest.mark.parametrize("value", ["1", "0", ""])
def test_any_value_of_the_variable_switches_caching_off(value: str) -> None:
    assert not parse_allocator_settings({"PYTORCH_NO_CUDA_MEMORY_CACHING": value}, "2.13.0").caching

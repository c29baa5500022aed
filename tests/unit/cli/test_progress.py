"""Live progress: what the figures of the moment are, and when a line is due."""

from __future__ import annotations

import io

from rich.console import Console

from ilora_diag.cli.progress import PlainProgress, RichProgress, figures_line
from ilora_diag.cli.progress_state import ProgressState
from ilora_diag.engine.events import Event


def _event(name: str, **fields: object) -> Event:
    return Event(name=name, line=1, fields=fields)


def _step(number: int, seconds: float = 2.0) -> Event:
    return _event("step", step=number, loss=3.0 / number, tokens_per_s=400.0, seconds=seconds, rss_bytes=1 << 30)


BEGIN = (_event("phase", phase="train", status="begin"), _event("train_begin", max_steps=10, start_step=0))


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def _plain() -> tuple[PlainProgress, list[str], Clock]:
    lines: list[str] = []
    clock = Clock()
    return PlainProgress(lines.append, clock), lines, clock


def test_figures_are_those_of_the_moment() -> None:
    state = ProgressState()
    for event in (*BEGIN, _step(1), _step(2)):
        state.take(event)
    assert figures_line(state) == "2/10, loss 1.500, 400 tokens/s, ETA 16.0 s, 1.00 GiB resident"


def test_the_remaining_time_follows_the_last_steps_only() -> None:
    state = ProgressState()
    for event in (*BEGIN, *(_step(1, seconds=100.0) for _ in range(5)), *(_step(9, seconds=1.0) for _ in range(20))):
        state.take(event)
    assert state.eta == "1.00 s"


def test_what_is_not_known_is_left_out() -> None:
    state = ProgressState()
    for event in (*BEGIN, _event("step", step=3, loss=None)):
        state.take(event)
    assert figures_line(state) == "3/10"
    assert figures_line(ProgressState()) == ""


def test_device_memory_takes_the_place_of_the_hosts() -> None:
    device = dict.fromkeys(("allocated_bytes", "peak_allocated_bytes"), 1 << 30)
    device |= dict.fromkeys(("reserved_bytes", "peak_reserved_bytes"), 2 << 30)
    state = ProgressState()
    state.take(_event("phase", phase="train", status="begin", rss_bytes=5, device=device))
    assert state.memory == "1.00 GiB allocated, 2.00 GiB reserved"


def test_phases_may_stand_inside_each_other() -> None:
    state = ProgressState()
    for name, status in (("eval", "begin"), ("load_rec", "begin"), ("load_rec", "end")):
        state.take(_event("phase", phase=name, status=status, seconds=1.0))
    assert state.phase == "eval"


def test_plain_lines_come_with_phases_and_about_every_ten_seconds() -> None:
    progress, lines, clock = _plain()
    progress.take(BEGIN)
    for number in range(1, 31):
        clock.now += 1.0
        progress.take([_step(number)])
    progress.take([_event("phase", phase="train", status="end", seconds=30.0, rss_bytes=1 << 30)])
    assert lines[0] == "train ..."
    assert [line.partition(",")[0] for line in lines[1:-1]] == ["train: 10/10", "train: 20/10", "train: 30/10"]
    assert lines[-1] == "train: done in 30.0 s, 1.00 GiB resident"


def test_silence_is_broken_every_thirty_seconds() -> None:
    progress, lines, clock = _plain()
    progress.take([_event("phase", phase="load_llm", status="begin")])
    for _ in range(65):
        clock.now += 1.0
        progress.take([])
    assert lines[1:] == ["load_llm: still running after 30.0 s", "load_llm: still running after 1 min 00 s"]


def test_an_evaluation_says_what_it_measures_and_warnings_are_shown_at_once() -> None:
    progress, lines, clock = _plain()
    progress.take([_event("phase", phase="eval", status="begin"), _event("warning", text="slow disk")])
    clock.now = 11.0
    progress.take([_event("eval_progress", metric="scoring", done=8, total=24)])
    assert lines == ["eval ...", "warning: slow disk", "eval: scoring 8/24"]


def test_the_recommenders_epochs_are_counted() -> None:
    state = ProgressState()
    state.take(_event("phase", phase="train_rec", status="begin"))
    state.take(_event("rec_epoch", epoch=5, loss=4.5617))
    assert figures_line(state) == "epoch 5, loss 4.562"


def test_a_stop_is_acknowledged() -> None:
    progress, lines, _ = _plain()
    progress.stopping()
    assert lines == ["stopping: waiting for the trainer to save a checkpoint (again to stop at once)"]


def test_the_moving_display_fits_eighty_columns_and_obeys_no_markup() -> None:
    screen = io.StringIO()
    progress = RichProgress(Console(file=screen, force_terminal=True, width=80, color_system=None))
    with progress.shown() as display:
        display.take([*BEGIN, _step(7), _event("warning", text="[red]x[/]")])
        display.stopping()
        display.take([_event("phase", phase="train", status="end", seconds=3.0, rss_bytes=1 << 30)])
    text = screen.getvalue()
    assert "7/10, loss 0.429, 400 tokens/s, ETA 6.00 s, 1.00 GiB resident" in text
    assert "warning: [red]x[/]" in text
    assert "train: done in 3.00 s, 1.00 GiB resident" in text

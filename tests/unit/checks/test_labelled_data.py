"""Labelled incidents, messages and captures from public sources: confirmed causes, and no false alarms."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.diagnosis import false_alarms, incidents, mutation_failures, oom_answers, smi_errors

pytestmark = pytest.mark.data


def test_every_confirmed_cause_leads_and_controls_are_not_accused(shared_data: Path) -> None:
    answers = list(incidents(shared_data))
    assert answers
    assert [(one.file, one.both) for one in answers if not one.is_right(one.both)] == []


def test_facts_alone_or_the_message_alone_accuse_no_control(shared_data: Path) -> None:
    controls = [one for one in incidents(shared_data) if one.control]
    assert all(one.is_right(one.facts) and one.message in ("unknown", "none", "no message") for one in controls)


def test_captures_of_working_machines_have_no_error(shared_data: Path) -> None:
    assert {file: found for file, found in smi_errors(shared_data).items() if found} == {}


def test_out_of_memory_messages_are_answered_with_their_family(shared_data: Path) -> None:
    told = oom_answers(shared_data)
    assert set(told) <= {"masked_oom", "unknown", "host_oom_kill", *(word for word in told if word.startswith("oom_"))}


def test_the_benchmark_itself_holds() -> None:
    assert mutation_failures() == []
    assert false_alarms() == []

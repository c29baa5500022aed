"""What identifies a person is left out of reports, and nothing else is."""

from __future__ import annotations

import pytest

from ilora_diag.engine.redact import (
    Identity,
    Pseudonyms,
    find_identifying,
    is_secret_name,
    map_leaves,
    redact,
    redact_text,
    this_identity,
)
from ilora_diag.schema import Status, Trial, Unavailable

ALICE = Identity(home="/home/alice", user="alice", host="gpu-box7")


def test_home_folders_become_a_tilde() -> None:
    assert redact_text("/home/alice/data/x.csv", ALICE) == "~/data/x.csv"
    assert redact_text("see /home/alice.", ALICE) == "see ~."
    assert redact_text("/home/bob/x and /Users/carol/y", ALICE) == "~/x and ~/y"
    assert redact_text('File "/home/alice/a b.py", line 3', ALICE) == 'File "~/a b.py", line 3'


def test_a_home_outside_home_is_known_too() -> None:
    root = Identity(home="/root", user="root", host="")
    assert redact_text("/root/runs, /rootfs/x, /data/root/y", root) == "~/runs, /rootfs/x, /data/root/y"


def test_user_and_host_are_left_out_where_they_are_that() -> None:
    assert redact_text("/scratch/alice/data", ALICE) == "/scratch/<user>/data"
    assert redact_text("alice in wonderland", ALICE) == "alice in wonderland"
    assert redact_text("[gpu-box7]: down; gpu-box70 is up", ALICE) == "[<host>]: down; gpu-box70 is up"


def test_names_that_say_nothing_stay() -> None:
    common = Identity(home="/", user="user", host="localhost")
    assert redact_text("http://localhost/user/x on /", common) == "http://localhost/user/x on /"


def test_every_text_of_a_record_is_redacted_and_nothing_else_changes() -> None:
    trial = Trial(
        id="T-01",
        probe="train",
        requested=(("data.path", "/home/alice/d"), ("train.max_steps", 3)),
        effective=Unavailable(reason="/home/alice/x is gone", source="config"),
        status=Status.CRASHED,
        started_at=1.0,
        seconds=2.0,
        stderr_tail="gpu-box7 fell over",
    )
    clean = redact(trial, ALICE)
    assert dict(clean.requested) == {"data.path": "~/d", "train.max_steps": 3}
    assert clean.effective == Unavailable(reason="~/x is gone", source="config")
    assert clean.stderr_tail == "<host> fell over"
    assert (clean.status, clean.seconds) == (Status.CRASHED, 2.0)


def test_leaves_of_one_kind_are_changed() -> None:
    value = (1, True, ("a", 2))
    assert map_leaves(value, int, lambda number: number + 1) == (2, True, ("a", 3))


def test_this_machine_has_an_identity() -> None:
    assert this_identity().home


@pytest.mark.parametrize(
    "text",
    [
        "ghp_0123456789abcdefABCDEF",
        "npm_0123456789abcdefABCDEF",
        "password: 123456789",
        'DB_PASSPHRASE="correct-horse"',
        "https://host/x?sig=abcdefgh1234",
        "Authorization: Basic dXNlcjpwYXNz",
        "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1r\n-----END OPENSSH PRIVATE KEY-----",
    ],
)
def test_secrets_are_known_by_their_form(text: str) -> None:
    hidden = Pseudonyms(ALICE).text(text)
    assert "<secret>" in hidden
    assert "secret" in {kind for kind, _ in find_identifying(text)}
    assert list(find_identifying(hidden)) == []


@pytest.mark.parametrize(
    "text",
    [
        "num_tokens: 1300123, tokens_per_batch=1312.0",
        "tokenizer: smollm2-135m-instruct",
        "HR@10 0.31, precision@5",
        "torch 2.13.0.1, cudnn version 9.1.0.70",
        "max_position_embeddings: 2048000",
    ],
)
def test_what_only_looks_like_a_secret_or_an_address_stays(text: str) -> None:
    assert Pseudonyms(ALICE).text(text) == text
    assert list(find_identifying(text)) == []


def test_names_of_secrets_are_told_from_names_of_counts() -> None:
    assert all(
        is_secret_name(name) for name in ("HF_TOKEN", "hub_token", "db.password", "AWS_SECRET_ACCESS_KEY", "apiKey")
    )
    assert not any(
        is_secret_name(name) for name in ("num_tokens", "tokenizer", "token_type_ids", "tokens_per_s", "key")
    )

"""What must not leave a machine does not, wherever it is planted; and an archive in which something is left is none."""

from __future__ import annotations

import base64
import html
import json
import os
import zipfile
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ilora_diag.cli import main
from ilora_diag.engine.bundle.choose import MAP_NAME, Form, Why, choices
from ilora_diag.engine.bundle.errors import BundleError, LeakError
from ilora_diag.engine.bundle.known import Value, known_values, spellings
from ilora_diag.engine.bundle.pack import MANIFEST_NAME, Prepared, leaks, prepare, write_bundle, write_map
from ilora_diag.engine.bundle.scan import survivors
from ilora_diag.engine.bundle.scrub import Scrubber
from ilora_diag.engine.redact import Identity
from ilora_diag.schema import from_json
from ilora_diag.schema.bundle import Bundle

ZOE = Identity(home="/home/zoe", user="zoe", host="gpu-box7.lab.example")
ENVIRON = {
    "HF_TOKEN": "hf_QwErTyUiOpAsDfGhJk",
    "MY_API_KEY": 'p/ss "w"\\rd=ü42',
    "https_proxy": "http://bob:prox%21pass@proxy.corp:3128",
    "TOKENIZERS_PARALLELISM": "false",
    "SSH_AUTH_SOCK": "/tmp/ssh-abc/agent.1",
    "LANG": "ja_JP.UTF-8",
}
VALUES = known_values(ZOE, ENVIRON, hidden=("projectx",))
CANARIES = {
    "known secret": ENVIRON["HF_TOKEN"],
    "secret with quotes": ENVIRON["MY_API_KEY"],
    "proxy password": "prox!pass",
    "unknown token": "ghp_0123456789abcdefABCDEF",
    "assignment": "WANDB_API_KEY=0123456789abcdef",
    "bearer": "Authorization: Bearer abc.def-ghi_jkl",
    "private key": "-----BEGIN RSA PRIVATE KEY-----\nMIIEabc\n-----END RSA PRIVATE KEY-----",
    "user": "zoe",
    "user in a sentence": "run by Zoe, again",
    "host": "gpu-box7.lab.example",
    "short host": "gpu-box7",
    "home": "/home/zoe/secret-plan/train.py",
    "home with blanks": "/home/zoe/secret plan/train.py",
    "another's home": "/Users/carol/secret-plan/x.py",
    "mount": "/mnt/secret-plan/team/data.csv",
    "windows": "C:\\Users\\zoe\\secret-plan\\x.py",
    "uuid": "GPU-8f6e1c2a-1111-2222-3333-444455556666",
    "address": "192.168.17.42",
    "mail": "zoe.k@secret-plan.example",
    "remote": "https://zoe:tok3nvalue@git.secret-plan.example/x.git",
    "remote without a scheme": "git@secret-plan.example:secret-plan/x.git",
    "list of folders": "LD_LIBRARY_PATH=/usr/lib:/mnt/secret-plan/lib:/opt/secret-plan/lib",
    "compiler option": "-I/mnt/secret-plan/include",
    "hidden word": "ProjectX",
}
# What may not be read in any archive, in any case.
GONE = (
    "hf_QwErTyUiOpAsDfGhJk", "p/ss", "prox!pass", "ghp_0123456789", "0123456789abcdef", "abc.def-ghi_jkl", "MIIEabc",
    "zoe",
    "gpu-box7", "carol", "secret-plan", "secret plan", "8f6e1c2a", "192.168.17.42", "tok3nvalue", "projectx",
)  # fmt: skip
BARE = {"schema": "ilora-diag/run", "steps": 3}


def _prepared(folder: Path, values: tuple[Value, ...] = VALUES) -> Prepared:
    return prepare(folder, ZOE, values, now=1.0, tool_version="0.1.0")


def _plant(folder: Path, text: str) -> None:
    """The text in every kind of file, and in every kind of place in it."""
    as_json = {
        **BARE,
        "plain": text,
        "nested": {"deep": [text, {"deeper": f"before {text} after"}]},
        "settings": [["data.path", text], ["list", [text, 1]], ["count", 3]],
        "requested": {text: text},
        "escaped": [f"File {json.dumps(text)}, line 3", quote(text), html.escape(text)],
        "stderr_tail": f"Traceback:\n  {text}\nError: {text!r}",
        "stdout_tail": text,
        "bad_rows": [{"file": text, "line": 3, "reason": f"title is {text}"}],
    }
    (folder / "run.json").write_text(json.dumps(as_json), encoding="utf-8")  # non-ASCII as \\uXXXX
    lines = [json.dumps(as_json, ensure_ascii=False), json.dumps({"event": text}), f'{{"cut": "{text.splitlines()[0]}']
    (folder / "runlog.jsonl").write_text("\n".join(lines), encoding="utf-8")
    flat = " ".join(text.split())
    (folder / "config.effective.yaml").write_text(f"data.path: {json.dumps(flat)}\n", encoding="utf-8")
    trial = folder / "trials" / "T-01"
    trial.mkdir(parents=True)
    (trial / "stderr.txt").write_text(f"{text}\nwarning: {text} ({text}): {text}\n", encoding="utf-8")
    (trial / "stdout.txt").write_text(text, encoding="utf-8")
    (folder / "predictions.jsonl").write_text(json.dumps({"answer": text}), encoding="utf-8")


def _read(path: Path) -> dict[str, str]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name).decode("utf-8") for name in archive.namelist()}


@pytest.mark.parametrize("name", CANARIES)
def test_what_is_planted_everywhere_is_nowhere_in_the_archive(name: str, tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    _plant(run, CANARIES[name])
    write_bundle(_prepared(run), tmp_path / "out.zip", VALUES, force=False)
    content = _read(tmp_path / "out.zip")
    for file, text in (*content.items(), ("names", " ".join(content))):
        found = [part for part in GONE if part.lower() in text.lower() or quote(part).lower() in text.lower()]
        assert found == [], (file, found)
    assert list(tmp_path.glob(".out.zip*")) == []


def test_equal_values_have_equal_names_in_all_files(tmp_path: Path) -> None:
    _plant(tmp_path, "/mnt/team/x.csv and zoe")
    content = dict(_prepared(tmp_path).contents)
    assert json.loads(content["run.json"])["plain"] == "<path-1>/x.csv and user-1"
    assert content["trials/T-01/stderr.txt"].startswith("<path-1>/x.csv and user-1\n")


def test_what_identifies_nobody_stays(tmp_path: Path) -> None:
    kept = {
        **BARE,
        "message": "CUDA out of memory. Tried to allocate 20.00 MiB; 14.73 GiB/s, and/or 3/4",
        "frame": 'File "/usr/lib/python3.11/json/decoder.py", line 3',
        "metric": "HR@10 0.31, num_tokens: 4096, tokenizer: smollm2-135m",
        "version": "cudnn version 9.1.0.70, driver 570.86.15",
        "settings": [["train.batch_size", 32], ["llm.name", "facebook/opt-125m"]],
        "link": "https://pytorch.org/docs/stable/notes/cuda.html#memory",
        "file": "trials/T-01/answer.json#/error",
    }
    (tmp_path / "run.json").write_text(json.dumps(kept), encoding="utf-8")
    prepared = _prepared(tmp_path)
    assert json.loads(dict(prepared.contents)["run.json"]) == kept
    assert prepared.manifest.redactions == ()


def test_a_library_keeps_the_part_of_its_path_that_is_the_same_everywhere(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text(
        json.dumps({"at": 'File "/home/zoe/venv/lib/python3.11/site-packages/torch/nn/module.py", line 9'})
    )
    told = json.loads(dict(_prepared(tmp_path).contents)["run.json"])["at"]
    assert told == 'File "<path-1>/python3.11/site-packages/torch/nn/module.py", line 9'


def test_only_listed_files_go_in_and_every_other_has_its_reason(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text("{}")
    for name in (
        "predictions.jsonl",
        "prompts.txt",
        "x.csv",
        "m.safetensors",
        "snap.pickle",
        "a.pt",
        "notes.txt",
        MAP_NAME,
    ):
        (tmp_path / name).write_text("x")
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "state.json").write_text("{}")
    (tmp_path / "report.json").symlink_to("/etc/passwd")
    (tmp_path / "figures").symlink_to("/etc")
    os.mkfifo(tmp_path / "facts.json")
    (tmp_path / "journal.jsonl").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "estimate.json").write_text("{ no json")
    (tmp_path / "bisect.json").write_bytes(b" " * ((8 << 20) + 1))
    manifest = _prepared(tmp_path).manifest
    assert [file.path for file in manifest.files] == ["run.json"]
    assert {file.path: file.reason for file in manifest.left_out} == {
        "predictions.jsonl": "data", "prompts.txt": "data", "x.csv": "data", "m.safetensors": "weights",
        "snap.pickle": "pickle", "a.pt": "pickle", "notes.txt": "not_listed", MAP_NAME: "pseudonyms",
        "checkpoints/state.json": "weights", "report.json": "link", "figures": "link", "facts.json": "special",
        "journal.jsonl": "not_text", "estimate.json": "not_text", "bisect.json": "too_large",
    }  # fmt: skip
    assert {choice.why for choice in choices(tmp_path) if choice.form is None} <= set(Why)


def test_a_report_that_lays_out_rows_of_the_data_stays_here(tmp_path: Path) -> None:
    (tmp_path / "report.json").write_text(json.dumps({"bad_rows": [{"reason": "title is 'Alien'"}]}))
    (tmp_path / "report.md").write_text("| title is 'Alien' |")
    prepared = _prepared(tmp_path)
    assert [file.path for file in prepared.manifest.files] == ["report.json"]
    assert "Alien" not in str(prepared)
    (tmp_path / "report.json").write_text(json.dumps({"bad_rows": []}))
    assert [file.path for file in _prepared(tmp_path).manifest.files] == ["report.json", "report.md"]


def test_the_manifest_says_what_is_in_the_archive(tmp_path: Path) -> None:
    _plant(tmp_path, "/mnt/team/x.csv")
    out = tmp_path / "out.zip"
    written = write_bundle(_prepared(tmp_path), out, VALUES, force=False)
    content = _read(out)
    assert from_json(Bundle, content.pop(MANIFEST_NAME)) == written
    assert {file.path: file.size_bytes for file in written.files} == {
        name: len(text.encode()) for name, text in content.items()
    }
    assert written.checked
    assert dict(written.redactions)["path"] == sum(dict(file.redactions).get("path", 0) for file in written.files)


def test_an_archive_that_still_holds_something_is_deleted_and_what_it_was_is_not_repeated(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text(json.dumps(BARE))
    clean = _prepared(tmp_path)
    for text, kind in (
        (ENVIRON["HF_TOKEN"], "secret"),
        (base64.b64encode(f"user:{ENVIRON['HF_TOKEN']}".encode()[5:]).decode(), "secret"),
        (ENVIRON["HF_TOKEN"].encode().hex(), "secret"),
        (quote(ENVIRON["MY_API_KEY"], safe=""), "secret"),
        ("".join(f"\\u{ord(letter):04x}" for letter in "gpu-box7"), "host"),
        ("z\u200boe", "user"),
        ("gpu&#45;box7", "host"),
        ("\\/home\\/zoe", "home"),
        ("ghp\\_0123456789abcdefABCDEF", "secret"),
        ("10.1.2.3", "ip"),
    ):
        dirty = replace(clean, contents=(("run.json", f'{{"x": "{text}"}}'),))
        places = leaks(dirty, VALUES)
        assert any(place == f"{kind} in run.json, line 1" for place in places), (text, places)
        digest = replace(clean.manifest.files[0], sha256=_digest(dirty.contents[0][1]))
        dirty = replace(dirty, manifest=replace(clean.manifest, files=(digest,)))
        with pytest.raises(LeakError) as caught:
            write_bundle(dirty, tmp_path / "out.zip", VALUES, force=False)
        assert text not in str(caught.value.places)
        assert [path.name for path in tmp_path.iterdir()] == ["run.json"]


def test_a_telling_file_name_is_found_and_not_repeated(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text(json.dumps(BARE))
    clean = _prepared(tmp_path)
    places = leaks(replace(clean, contents=(("trials/zoe.json", "{}"),)), VALUES)
    assert places == ("user in the name of file 2",)


def test_an_archive_that_cannot_be_read_back_is_deleted(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text(json.dumps(BARE))
    clean = _prepared(tmp_path)
    wrong = replace(clean.manifest.files[0], sha256="0" * 64)
    with pytest.raises(BundleError, match="read back"):
        write_bundle(
            replace(clean, manifest=replace(clean.manifest, files=(wrong,))), tmp_path / "o.zip", VALUES, force=False
        )
    assert not (tmp_path / "o.zip").exists()


def test_a_file_that_is_there_is_not_touched_unless_asked(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text(json.dumps(BARE))
    out = tmp_path / "out.zip"
    out.write_text("mine")
    with pytest.raises(BundleError, match="--force"):
        write_bundle(_prepared(tmp_path), out, VALUES, force=False)
    assert out.read_text() == "mine"
    write_bundle(_prepared(tmp_path), out, VALUES, force=True)
    assert zipfile.is_zipfile(out)


def test_who_is_who_stays_in_the_folder_for_its_owner_alone(tmp_path: Path) -> None:
    _plant(tmp_path, "zoe on 192.168.17.42")
    path = write_map(_prepared(tmp_path), tmp_path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert json.loads(path.read_text())["user-1"] == "zoe"
    assert MAP_NAME not in [file.path for file in _prepared(tmp_path).manifest.files]


def test_the_same_folder_is_the_same_archive(tmp_path: Path) -> None:
    _plant(tmp_path, "zoe at /mnt/x/y")
    prepared = [_prepared(tmp_path), _prepared(tmp_path)]
    for name, one in zip(("a.zip", "b.zip"), prepared, strict=True):
        write_bundle(one, tmp_path / name, VALUES, force=False)
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()


def test_secrets_are_known_by_name_whatever_a_run_has_recorded() -> None:
    texts = {value.text for value in known_values(ZOE, ENVIRON) if value.kind == "secret"}
    assert texts == {ENVIRON["HF_TOKEN"], ENVIRON["MY_API_KEY"], "prox%21pass", "prox!pass"}
    assert known_values(Identity(home="/", user="user", host="localhost"), {"LANG": "C", "A_TOKEN": "true"}) == ()


def test_names_and_addresses_of_git_are_known(tmp_path: Path) -> None:
    (tmp_path / "gitconfig").write_text(
        '[user]\n\tname = "Zoe K. Example"\n\temail = zk@corp.example\n[core]\n\teditor = vi\n'
    )
    values = known_values(replace(ZOE, user=""), {}, git=(tmp_path / "gitconfig", tmp_path / "missing"))
    assert {(value.kind, value.text) for value in values} >= {("name", "Zoe K. Example"), ("mail", "zk@corp.example")}


def test_a_word_too_short_to_be_hidden_is_refused() -> None:
    with pytest.raises(ValueError, match="too short"):
        known_values(ZOE, {}, hidden=("x",))


@given(st.text(min_size=5, max_size=40), st.text(max_size=30), st.text(max_size=30))
def test_a_known_secret_is_replaced_in_any_surroundings(secret: str, before: str, after: str) -> None:
    values = (Value(kind="secret", text=secret, is_word=False),)
    told = Scrubber(ZOE, values).document(json.dumps({"x": before + secret + after}), Form.JSON)
    assert secret not in json.loads(told)["x"] or secret in "<secret>" or secret in before + "<secret>" + after


@given(st.text(alphabet=st.characters(codec="utf-8", exclude_categories=("Cs",)), max_size=200))
def test_redacting_twice_changes_nothing_more(text: str) -> None:
    scrubber = Scrubber(ZOE, VALUES)
    once = scrubber.text(text)
    assert scrubber.text(once) == once


@given(st.text(min_size=5, max_size=60))
def test_every_spelling_of_a_secret_is_found_again(secret: str) -> None:
    values = (Value(kind="secret", text=secret, is_word=False),)
    for form in spellings(secret):
        assert any(kind == "secret" for kind, _ in survivors(f"before {form} after", values))


def bundle(*args: str | Path) -> int:
    with pytest.raises(SystemExit) as end:
        main(["bundle", *map(str, args)])
    assert isinstance(end.value.code, int)
    return end.value.code


def test_a_preview_writes_nothing_and_tells_both_lists(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    run.mkdir()
    _plant(run, "sk-abcdefghijklmnop1234")
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    assert bundle(run, "--preview", "--lang", "en") == 0
    shown = capsys.readouterr().out
    assert "Nothing was written" in shown
    assert "predictions.jsonl" in shown
    assert "data, prompts or answers" in shown
    assert "sk-abc" not in shown
    assert sorted(tmp_path.rglob("*")) == before


def test_the_command_packs_and_prints_the_manifest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "20251121-030100-7f3c"
    run.mkdir()
    monkeypatch.setenv("SOME_SECRET", "correct horse battery")
    _plant(run, "correct horse battery")
    monkeypatch.chdir(tmp_path)
    assert bundle(run, "--json", "--lang", "en") == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out)["schema"] == "ilora-diag/bundle"
    content = _read(tmp_path / "20251121-030100-7f3c.bundle.zip")
    assert not any("correct horse" in text for text in content.values())
    assert (run / MAP_NAME).stat().st_mode & 0o777 == 0o600
    assert bundle(run) == 2
    assert "--force" in capsys.readouterr().err
    assert bundle(run, "--force") == 0


def test_what_cannot_be_replaced_ends_with_status_1_and_no_archive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SOME_SECRET", '"steps": 3')  # what the form of a file makes, no change of its texts takes away
    (tmp_path / "run.json").write_text(json.dumps(BARE), encoding="utf-8")
    assert bundle(tmp_path, "--out", tmp_path / "o.zip", "--lang", "en") == 1
    complaint = capsys.readouterr().err
    assert "secret in run.json, line 3" in complaint
    assert '"steps"' not in complaint
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run.json"]
    assert bundle(tmp_path, "--preview", "--lang", "en") == 1


def test_no_run_is_a_usage_error(tmp_path: Path) -> None:
    assert bundle(tmp_path / "missing") == 2
    assert bundle(tmp_path) == 2
    (tmp_path / "run.json").write_text("{}")
    assert bundle(tmp_path, "--hide", "x") == 2


def _digest(text: str) -> str:
    import hashlib

    return hashlib.sha256(text.encode()).hexdigest()

"""Environment reports: `key: value` lines with sections under some of them, from a program or by hand."""

from __future__ import annotations

import re

from ilora_diag.collect.importers.draft import Draft
from ilora_diag.collect.importers.report_keys import (
    GPU_KEYS,
    KEYS,
    MESSAGE_KEYS,
    NOTE_KEYS,
    nothing,
    put_gpus,
    take_key,
)
from ilora_diag.collect.importers.report_packages import complete_torch, read_package_line
from ilora_diag.collect.importers.report_phrases import read_phrases
from ilora_diag.schema import Unavailable

MAX_MESSAGE_LINES = 400
MAX_ENV = 200
_SOURCE = "report"
# Every repetition before the value is bounded: a line of blanks or dots must cost no more than any other.
_PAIR = re.compile(
    r"[ \t]{0,40}(?:[-*+>|]{1,3}[ \t]{1,10}|\d{1,2}\.[ \t]{1,10})?([^\s:=][^:=\t]{0,69}?)[ \t]{0,40}"
    r"(?::|=(?!=)|\.{4,})[ \t]*(.*)"
)
_ENV = re.compile(r"""\s{0,40}(?:[-*] )?(?:export |-e |ENV |set |\$env:)?["']?([A-Za-z_][A-Za-z0-9_]{2,60})=(.*)""")
_PYTHON_ENV = re.compile(r"""os\.environ\[["']([A-Z][A-Z0-9_]{2,60})["']\]\s*=\s*["']([^"'\n]{0,500})["']""")
_OURS = re.compile(
    r"(?:CUDA|PYTORCH|TORCH|NCCL|NVIDIA|LD|TRITON|BNB|OMP|MKL|GLOO|UCX|TORCHINDUCTOR|XLA|ACCELERATE|VLLM|GPU)_[A-Z0-9_]+"
)
_NUMBERED_GPU = re.compile(r"\s*(?:[-*] )?(?:GPU|\[?cuda)[ :]?(\d{1,3})\]?\s*[:=]\s*(.+)", re.IGNORECASE)
_MIG_BELOW = re.compile(r"\s+MIG (\S{1,40})\s+Device\s+(\d{1,4}):")
_QUESTION = re.compile(r"\s*(?:>>> ?)?(?:print\()?(torch\.[\w.]+)(?:\(\))?\)?\s*$")
_ANSWER = re.compile(
    r"(?:>>> ?)?(?:returns?|returned|output|prints?|=|->|#)?:?\s*"
    r"(True|False|None|v?\d[\w.+]*|'[^']{1,60}'|\[[^\]]{2,400}\])\s*",
    re.IGNORECASE,
)
_ERROR = re.compile(
    r"Traceback \(most recent call last\)|\b\w{0,80}(?:Error|Exception|Warning):(?:\s|$)|CUDA (?:driver )?error"
    r"|CUDA out of memory|CUDA call failed|NCCL (?:WARN|error)|Bus error|Segmentation fault|^Killed$|core dumped"
    r"|undefined symbol|is not compatible with the current PyTorch|\bError \d{1,3}: |runtime error \(\d{1,3}\)"
    r"|[Ff]ailed to initiali[sz]e (?:CUDA|NVML)|NVIDIA driver on your system|terminate called after|\bwhat\(\): "
    r"|couldn't communicate with the NVIDIA|[Cc]ould(?: not|n't) (?:load library|load custom C|select device driver)"
    r"|cannot open shared object file|is killed by signal|nvidia-container-cli: |no kernel image is available"
)
_RULE = re.compile(r"[=*_~#+\s-]{3,}")
# Lightning's report: what stands under `* CUDA:` is about torch.
_LIGHTNING = re.compile(r"\s*\* (\w+):\s*")
_LIGHTNING_CUDA = {"available": "is cuda available", "version": "cuda used to build pytorch"}
_PACKAGE_HEADING = re.compile(r"versions of relevant libraries|^package\s+version|relevant packages|^packages:?$", re.I)
_TAKEN_KEYS = MESSAGE_KEYS | NOTE_KEYS | GPU_KEYS | KEYS.keys()
_ENV_HEADING = re.compile(r"^[-*# ]*environment(?: variables)?\s*:?\s*$", re.IGNORECASE)


class Report:
    """The lines of a text that belong to no other format, read as a report.

    What stands under a heading (`GPU models and configuration:`) belongs to it as long as the lines have its form.
    """

    kind = "report"
    torch_kind = "collect_env"

    def __init__(self) -> None:
        self._draft = Draft()
        self._section = ""
        self._next_gpu = 0
        self._taken = 0
        self._env = 0
        self._asked: list[str] = []
        self._lightning = ""
        self._message: list[str] = []
        self._in_traceback = False
        self._cudnn: list[str] = []

    def feed(self, line: str) -> bool:
        """Take a line; False where it says nothing that is known."""
        text = line.rstrip()[:4000]
        if _RULE.fullmatch(text):
            return False
        taken = self._feed(text) if text.strip() else self._blank()
        self._taken += taken
        return taken

    def close(self, draft: Draft) -> None:
        """Hand over what the report said."""
        if self._cudnn:
            self._draft.put("cudnn.candidates", tuple(self._cudnn), _SOURCE)
        if self._message:
            self._draft.put("error.text", "\n".join(self._message), _SOURCE)
            for line in self._message:
                read_phrases(self._draft, line, message=True)
        complete_torch(self._draft)
        visible = self._draft.get("env.NVIDIA_VISIBLE_DEVICES")
        if isinstance(visible, str):
            self._draft.put("container.visible_devices", visible, _SOURCE)
        capabilities = self._draft.get("env.NVIDIA_DRIVER_CAPABILITIES")
        if isinstance(capabilities, str):
            self._draft.put("container.driver_capabilities", capabilities, _SOURCE)
        if self._taken and self._draft.facts():
            collected = not isinstance(self._draft.get("torch.debug_build"), Unavailable)
            draft.kind(self.torch_kind if collected else self.kind)
            draft.add_all(self._draft.facts())

    def _blank(self) -> bool:
        self._in_traceback = False
        return False

    def _feed(self, text: str) -> bool:
        return (
            self._answer(text)
            or self._in_section(text)
            or self._error(text)
            or self._environment(text, section=False)
            or self._heading(text)
            or self._gpu_line(text)
            or self._pair(text)
            or read_package_line(self._draft, text, listed=False)
            or read_phrases(self._draft, text, message=True)
        )

    def _answer(self, text: str) -> bool:
        """Questions to Python, at its prompt or as a script, and the lines below that answer them in their order."""
        bare = text.strip("`* \t")
        asked = _QUESTION.match(bare)
        if asked is not None:
            self._asked.append(asked[1].lower())
            return True
        if not self._asked:
            return False
        given = _ANSWER.fullmatch(bare)
        if given is None:
            self._asked.clear()
            return False
        key, answer = self._asked.pop(0), given[1].strip("'\"")
        if key == "torch.cuda.get_arch_list":
            return read_phrases(self._draft, f"get_arch_list(): {answer}")
        return take_key(self._draft, key, answer)

    def _in_section(self, text: str) -> bool:
        if self._section == "gpus":
            return self._gpu_line(text) or self._named_gpu(text)
        if self._section == "packages":
            return read_package_line(self._draft, text, listed=True) or text.lstrip().startswith(
                ("---", "[conda]", "#")
            )
        if self._section == "env":
            return self._environment(text, section=True)
        if self._section == "cudnn" and text.strip().startswith(("/", "C:\\")):
            self._cudnn.append(text.strip()[:300])
            return True
        if self._section == "drivers" and re.fullmatch(r"\s*\d{3}\.[\d.]+\s*", text):
            return take_key(self._draft, "nvidia driver version", text.strip())
        if self._section == "message" and text.startswith((" ", "\t")):
            return self._keep_message(text.strip())
        self._section = "" if not text.startswith((" ", "\t")) else self._section
        return False

    def _heading(self, text: str) -> bool:
        bare = text.strip().strip("#* ").strip()
        if _ENV_HEADING.match(bare):
            self._section = "env"
        elif _PACKAGE_HEADING.search(bare):
            self._section = "packages"
        else:
            return False
        return True

    def _pair(self, text: str) -> bool:
        match = _PAIR.fullmatch(text)
        if match is None:
            return False
        key, value = _bare_key(match[1]), match[2].strip()
        lightning = _LIGHTNING.fullmatch(text)
        if lightning is not None:
            self._lightning = lightning[1].lower()
        elif self._lightning == "cuda":
            key = _LIGHTNING_CUDA.get(key, key)
        if key in GPU_KEYS:
            self._section = "gpus"
            self._next_gpu = put_gpus(self._draft, value, self._next_gpu) if value and not _fill_in(value) else 0
            return True
        if key in MESSAGE_KEYS:
            self._section = "message"
            return self._keep_message(value)
        if key in NOTE_KEYS:
            read_phrases(self._draft, value)
            self._draft.note(value)
            return True
        if _fill_in(value) or (nothing(value) and not value):
            return False
        if not take_key(self._draft, key, value):
            return False
        self._section = {"cudnn version": "cudnn", "nvidia driver version": "drivers"}.get(key, "")
        return True

    def _gpu_line(self, text: str) -> bool:
        below = _MIG_BELOW.match(text)
        if below is not None and self._next_gpu:
            path = f"gpu[{self._next_gpu - 1}].mig[{int(below[2])}]"
            self._draft.put(f"{path}.name", below[1], _SOURCE)
            self._draft.put(f"gpu[{self._next_gpu - 1}].mig_mode", "enabled", _SOURCE)
            return True
        match = _NUMBERED_GPU.fullmatch(text)
        if match is None or nothing(match[2]) or not re.search(r"[A-Za-z]", match[2]):
            return False
        put_gpus(self._draft, match[2].strip(), int(match[1]))
        self._next_gpu = int(match[1]) + 1
        return True

    def _named_gpu(self, text: str) -> bool:
        if not text.startswith((" ", "\t")) or ":" in text or "=" in text:
            self._section = "" if not text.startswith((" ", "\t")) else self._section
            return False
        self._next_gpu = put_gpus(self._draft, text.strip().lstrip("-* ").strip(), self._next_gpu)
        return True

    def _environment(self, text: str, *, section: bool) -> bool:
        python = _PYTHON_ENV.search(text)
        match = python or _ENV.fullmatch(text)
        if match is None or not (section or python or _OURS.fullmatch(match[1])):
            self._section = "" if section and not text.startswith((" ", "\t")) else self._section
            return False
        value = match[2].strip().rstrip("\\").strip().strip("\"'")
        if self._env < MAX_ENV:
            self._env += 1
            self._draft.put(f"env.{match[1]}", value[:2000], _SOURCE)
        return True

    def _error(self, text: str) -> bool:
        starts = _ERROR.search(text) is not None
        continues = self._in_traceback and text.startswith((" ", "\t"))
        named = _PAIR.fullmatch(text) is not None and _bare_key(text.partition(":")[0]) in _TAKEN_KEYS
        if named or not (starts or continues):
            return False
        self._in_traceback = starts or continues
        return self._keep_message(text)

    def _keep_message(self, text: str) -> bool:
        if text and len(self._message) < MAX_MESSAGE_LINES:
            self._message.append(text[:2000])
        return bool(text)


def _bare_key(key: str) -> str:
    """A key without its decoration: ``- `transformers` version`` is `transformers version`."""
    key = re.sub(r"[`*?]|\be\.g\.[^)]*", "", key.lower().replace("(s)", "s"))
    key = re.sub(r"\((?:e\.g\.|gpu|s\)|short|,|\s)*[^)]*\)", _inside, key)
    return re.sub(r"\s+", " ", key).strip(" -.>|\t\"'")


def _inside(match: re.Match[str]) -> str:
    return " short" if "short" in match[0] else " /dev/shm" if "/dev/shm" in match[0] else ""


def _fill_in(value: str) -> bool:
    """The untouched field of a form."""
    return "fill in" in value.lower() or value.strip() in ("<>", "...")

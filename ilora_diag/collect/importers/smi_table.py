"""What `nvidia-smi` prints for people: its table, its list of devices, its version, its failures."""

from __future__ import annotations

import re
from collections import Counter

from ilora_diag.collect.importers import values
from ilora_diag.collect.importers.draft import Draft
from ilora_diag.schema import Unavailable

MAX_GPUS = 256
MAX_PROCESSES = 256
MAX_LINE = 1000  # characters; the patterns below are not linear in the length of a line
_TABLE, _LIST, _VERSION = "nvidia-smi", "nvidia-smi -L", "nvidia-smi --version"
# `Driver Version` until driver 595, `KMD Version` and `CUDA UMD Version` where kernel and user parts are told apart.
_HEAD = re.compile(
    r"\|\s*NVIDIA-SMI\s+(?P<smi>\S+)\s+(?:Driver|KMD) Version:\s*(?P<driver>\S+)"
    r"(?:\s+CUDA (?:UMD |Driver )?Version:\s*(?P<cuda>[^\s|]+))?"
)
_FIRST = re.compile(r"\s*(\d{1,4})\s+(\S.*?)\s+(On|Off|WDDM|TCC|MCDM|N/A|ERR!)\s*")
_BUS = re.compile(r"\s*([0-9A-Fa-f:.]{7,16})\s+(On|Off|N/A|ERR!)\s*")
_SECOND = re.compile(r"\s*(\S+)\s+(\S+)\s+(P\d{1,2}|N/A|ERR!|Unknown Error)\s+(\S+)\s*/\s*(\S+)\s*")
_MEMORY = re.compile(r"\s*(\d{1,9})MiB\s*/\s*(\d{1,9})MiB\s*")
_LOAD = re.compile(r"\s*(\d{1,3}%|N/A|ERR!)\s+(Default|E\. Process|E\. Thread|Prohibited|N/A)\s*")
_MIG = re.compile(r"\s*(\d{1,4})\s+(\d{1,4})\s+(\d{1,4})\s+(\d{1,4})\s*")
_PROCESS = re.compile(
    r"\|\s*(?P<gpu>\d{1,4})\s+(?:(?:N/A|\d+)\s+(?:N/A|\d+)\s+)?(?P<pid>\d{1,10})\s+(?P<type>C|G|C\+G|M\+C|M)\s+"
    r"(?P<name>\S.*?)\s+(?P<used>\d{1,9}MiB|N/A|Insufficient Permissions)\s*\|"
)
_GPU_LINE = re.compile(r"\s*GPU (\d{1,4}): (.{1,120}?) \(UUID: ([\w-]{1,80})\)\s*")
_MIG_LINE = re.compile(r"\s+MIG (\S{1,40})\s+Device\s+(\d{1,4}): \(UUID: ([\w/-]{1,120})\)\s*")
_VERSION_LINE = re.compile(r"\s*(NVIDIA-SMI|NVML|DRIVER|KMD|CUDA(?: UMD)?) version\s*: (\S+)\s*", re.IGNORECASE)


class SmiTable:
    """One table: header, devices, MIG devices, processes."""

    kind = "nvidia_smi_table"

    def __init__(self) -> None:
        self._draft = Draft()
        self._gpu: int | None = None
        self._row = 0
        self._part = "gpus"
        self._gpus: list[int] = []
        self._processes: Counter[int] = Counter()
        self._mig: Counter[int] = Counter()
        self._counted = False

    @staticmethod
    def opens(line: str) -> bool:
        """Whether the header of a table stands here."""
        return "NVIDIA-SMI" in line and _HEAD.search(line[:MAX_LINE]) is not None

    def feed(self, line: str) -> bool:
        """Take a line; False where the table is over."""
        text = line[:MAX_LINE].strip()
        if not text or text.startswith("+"):
            self._row = 0
            return True
        if not text.startswith("|"):
            return False
        head = _HEAD.search(text)
        if head is not None:
            self._head(head)
        elif "Processes:" in text:
            self._part, self._counted = "processes", True
        elif "MIG devices:" in text:
            self._part = "mig"
        elif self._part == "processes":
            self._process(text)
        else:
            self._cells(text.strip("|").split("|"))
        return True

    def close(self, draft: Draft) -> None:
        """Hand over what the table said."""
        draft.kind(self.kind)
        for gpu in self._gpus:
            if self._counted:
                self._draft.put(f"gpu[{gpu}].num_processes", self._processes[gpu], _TABLE)
            if gpu in self._mig:
                self._draft.put(f"gpu[{gpu}].num_mig_devices", self._mig[gpu], _TABLE)
        if self._gpus:
            self._draft.put("nvml.device_count", len(self._gpus), _TABLE)
        draft.add_all(self._draft.facts())

    def _head(self, head: re.Match[str]) -> None:
        for name, path in (
            ("smi", "driver.nvidia_smi_version"),
            ("driver", "driver.version"),
            ("cuda", "cuda.driver_version"),
        ):
            if head[name] is not None:
                self._put(path, head[name], values.words)

    def _cells(self, cells: list[str]) -> None:
        if self._part == "mig":
            self._mig_row(cells)
            return
        first = _FIRST.fullmatch(cells[0]) if len(cells) == 3 else None
        if first is not None and len(self._gpus) < MAX_GPUS:
            self._gpu, self._row = int(first[1]), 1
            self._gpus.append(self._gpu)
            self._first_row(first, cells)
        elif self._gpu is not None and len(cells) == 3 and self._row == 1:
            self._row = 2
            self._second_row(cells)
        elif self._gpu is not None and len(cells) == 3 and self._row == 2:
            self._row = 3
            self._put(f"gpu[{self._gpu}].mig_mode", cells[2].strip(), values.on_or_off)

    def _first_row(self, first: re.Match[str], cells: list[str]) -> None:
        gpu = f"gpu[{self._gpu}]"
        self._put(f"{gpu}.name", first[2], values.words)
        if first[3] in ("WDDM", "TCC", "MCDM"):
            self._put(f"{gpu}.driver_model", first[3], values.slug)
        else:
            self._put(f"{gpu}.persistence_mode", first[3], values.flag)
        bus = _BUS.fullmatch(cells[1])
        if bus is not None:
            self._put(f"{gpu}.bus_id", bus[1], values.words)
            self._put(f"{gpu}.display_active", bus[2], values.flag)
        ecc = cells[2].strip()
        if ecc.isdigit():
            self._put(f"{gpu}.ecc.uncorrected_volatile", ecc, values.integer)
        elif ecc == "Off":
            self._put(f"{gpu}.ecc.enabled", ecc, values.flag)

    def _second_row(self, cells: list[str]) -> None:
        gpu = f"gpu[{self._gpu}]"
        second = _SECOND.fullmatch(cells[0])
        if second is not None:
            self._put(f"{gpu}.temperature_c", second[2], values.integer)
            self._put(f"{gpu}.performance_state", second[3], values.words)
            self._put(f"{gpu}.power_draw_w", second[4], values.number)
            self._put(f"{gpu}.power_limit_w", second[5], values.number)
        memory = _MEMORY.fullmatch(cells[1])
        if memory is not None:
            self._put(f"{gpu}.memory_used_bytes", f"{memory[1]} MiB", values.size)
            self._put(f"{gpu}.memory_total_bytes", f"{memory[2]} MiB", values.size)
        load = _LOAD.fullmatch(cells[2])
        if load is not None:
            self._put(f"{gpu}.utilization_percent", load[1], values.integer)
            self._put(f"{gpu}.compute_mode", load[2], values.compute_mode)

    def _mig_row(self, cells: list[str]) -> None:
        ids = _MIG.fullmatch(cells[0])
        if ids is None or len(cells) < 2:
            return
        gpu = int(ids[1])
        path = f"gpu[{gpu}].mig[{int(ids[4])}]"
        self._mig[gpu] += 1
        self._put(f"{path}.gpu_instance", ids[2], values.integer)
        self._put(f"{path}.compute_instance", ids[3], values.integer)
        memory = _MEMORY.fullmatch(cells[1])
        if memory is not None:
            self._put(f"{path}.memory_used_bytes", f"{memory[1]} MiB", values.size)
            self._put(f"{path}.memory_total_bytes", f"{memory[2]} MiB", values.size)

    def _process(self, text: str) -> None:
        row = _PROCESS.fullmatch(text)
        if row is None:
            return
        gpu = int(row["gpu"])
        path = f"gpu[{gpu}].process[{self._processes[gpu]}]"
        self._processes[gpu] += 1
        if self._processes[gpu] <= MAX_PROCESSES:
            self._put(f"{path}.pid", row["pid"], values.integer)
            self._put(f"{path}.type", row["type"], values.words)
            self._put(f"{path}.name", row["name"], values.words)
            self._put(f"{path}.used_memory_bytes", row["used"].replace("MiB", " MiB"), values.size)

    def _put(self, path: str, text: str, convert: values.Convert) -> None:
        self._draft.put(path, values.read(text, convert, _TABLE), _TABLE)


class SmiList:
    """`nvidia-smi -L`, also with the links that `nvidia-smi nvlink -s` puts below each device."""

    kind = "nvidia_smi_list"

    def __init__(self) -> None:
        self._draft = Draft()
        self._gpu = 0
        self._mig: Counter[int] = Counter()
        self._gpus: set[int] = set()

    @staticmethod
    def opens(line: str) -> bool:
        """Whether a device with its identifier stands here."""
        return "(UUID: " in line and _GPU_LINE.fullmatch(line[:MAX_LINE].rstrip()) is not None

    def feed(self, line: str) -> bool:
        """Take a line; False where the list is over."""
        line = line[:MAX_LINE].rstrip()
        gpu, mig = _GPU_LINE.fullmatch(line), _MIG_LINE.fullmatch(line)
        if gpu is not None:
            self._gpu = int(gpu[1])
            self._gpus.add(self._gpu)
            self._draft.put(f"gpu[{self._gpu}].name", gpu[2], _LIST)
            self._draft.put(f"gpu[{self._gpu}].uuid", gpu[3], _LIST)
        elif mig is not None:
            self._mig[self._gpu] += 1
            path = f"gpu[{self._gpu}].mig[{int(mig[2])}]"
            self._draft.put(f"{path}.name", mig[1], _LIST)
            self._draft.put(f"{path}.uuid", mig[3], _LIST)
        else:
            return re.match(r"\s+Link \d+:|\s*$|Nvlink queries are not supported", line) is not None
        return True

    def close(self, draft: Draft) -> None:
        """Hand over what the list said; names of MIG devices are added to what else is known of them."""
        draft.kind(self.kind)
        for gpu, number in self._mig.items():
            draft.put(f"gpu[{gpu}].num_mig_devices", number, _LIST)
        draft.put("nvml.device_count", len(self._gpus), _LIST)
        for fact in self._draft.facts():
            draft.put(fact.path, fact.value, fact.source)


class SmiVersion:
    """`nvidia-smi --version`."""

    kind = "nvidia_smi_version"
    _PATHS = (
        ("nvidia-smi", "driver.nvidia_smi_version"),
        ("nvml", "nvml.version"),
        ("driver", "driver.version"),
        ("kmd", "driver.version"),
        ("cuda", "cuda.driver_version"),
    )

    def __init__(self) -> None:
        self._draft = Draft()

    @staticmethod
    def opens(line: str) -> bool:
        """Whether the first of the lines stands here."""
        return line.lstrip().lower().startswith("nvidia-smi version") and _VERSION_LINE.fullmatch(line) is not None

    def feed(self, line: str) -> bool:
        """Take a line; False where the versions are over."""
        match = _VERSION_LINE.fullmatch(line[:MAX_LINE])
        if match is None:
            return False
        for word, path in self._PATHS:
            if match[1].lower().startswith(word):
                self._draft.put(path, values.read(match[2], values.words, _VERSION), _VERSION)
        return True

    def close(self, draft: Draft) -> None:
        """Hand over the versions."""
        draft.kind(self.kind)
        draft.add_all(self._draft.facts())


# nvidia-smi's words for NVML's codes (nvmlReturn_t, `nvml_return_codes` of the compatibility table).
_NVML_WORDS = (
    ("driver/library version mismatch", 18),
    ("insufficient permissions", 4),
    ("driver not loaded", 9),
    ("gpu access blocked by the operating system", 17),
    ("unknown error", 999),
)
_NVML_LIBRARY = re.compile(r"NVML library version:\s*(\d{3}[\d.]{1,20})")
_LOST = re.compile(r"Unable to determine the device handle for GPU\s*(\S+):\s*(.{1,80})")


def read_failure(draft: Draft, line: str) -> bool:
    """Take one of nvidia-smi's messages of failure; False for any other line."""
    status: int | None = None
    line = line[:MAX_LINE]
    low = line.lower()
    if "failed to initialize nvml" in low:
        status = next((code for words, code in _NVML_WORDS if words in low), None)
    elif "nvidia-smi has failed because it couldn't communicate with the nvidia driver" in low:
        status = 9
    elif "couldn't find libnvidia-ml.so" in low:
        status = 12
    elif "no devices were found" in low:
        draft.put("nvml.device_count", 0, _TABLE)
    elif (library := _NVML_LIBRARY.search(line)) is not None:
        draft.put("driver.libnvml", library[1].rstrip("."), _TABLE)
    elif (lost := _LOST.search(line)) is not None:
        draft.note(f"{lost[1]}: {lost[2]}")
    elif not re.search(r"nvidia-smi['\"]?(?:: command not found| is not recognized)", low):
        return False
    if status is not None:
        draft.put("nvml.status", status, _TABLE)
    if isinstance(draft.get("driver.nvidia_smi"), Unavailable):
        draft.put("driver.nvidia_smi", line.strip()[:300], _TABLE)
    draft.kind("nvidia_smi_failure")
    return True

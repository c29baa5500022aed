"""`nvidia-smi --query-gpu=... --format=csv`: the one form that tells the compute capability."""

from __future__ import annotations

import csv

from ilora_diag.collect.importers import values
from ilora_diag.collect.importers.draft import Draft
from ilora_diag.collect.importers.values import Convert

_SOURCE = "nvidia-smi --query-gpu"
_GLOBAL: dict[str, tuple[str, Convert]] = {
    "driver_version": ("driver.version", values.words),
    "count": ("nvml.device_count", values.integer),
}
_FIELDS: dict[str, tuple[str, Convert]] = {
    "name": ("name", values.words),
    "gpu_name": ("name", values.words),
    "compute_cap": ("compute_capability", values.words),
    "uuid": ("uuid", values.words),
    "gpu_uuid": ("uuid", values.words),
    "serial": ("serial", values.words),
    "gpu_serial": ("serial", values.words),
    "pci.bus_id": ("bus_id", values.words),
    "gpu_bus_id": ("bus_id", values.words),
    "vbios_version": ("vbios", values.words),
    "pstate": ("performance_state", values.words),
    "persistence_mode": ("persistence_mode", values.flag),
    "display_active": ("display_active", values.flag),
    "compute_mode": ("compute_mode", values.compute_mode),
    "driver_model.current": ("driver_model", values.slug),
    "addressing_mode": ("addressing_mode", values.slug),
    "mig.mode.current": ("mig_mode", values.on_or_off),
    "mig.mode.pending": ("mig_mode_pending", values.on_or_off),
    "memory.total": ("memory_total_bytes", values.size),
    "memory.reserved": ("memory_reserved_bytes", values.size),
    "memory.used": ("memory_used_bytes", values.size),
    "memory.free": ("memory_free_bytes", values.size),
    "temperature.gpu": ("temperature_c", values.integer),
    "power.draw": ("power_draw_w", values.number),
    "power.limit": ("power_limit_w", values.number),
    "utilization.gpu": ("utilization_percent", values.integer),
    "ecc.mode.current": ("ecc.enabled", values.flag),
    "ecc.errors.corrected.volatile.total": ("ecc.corrected_volatile", values.integer),
    "ecc.errors.uncorrected.volatile.total": ("ecc.uncorrected_volatile", values.integer),
    "ecc.errors.corrected.aggregate.total": ("ecc.corrected_aggregate", values.integer),
    "ecc.errors.uncorrected.aggregate.total": ("ecc.uncorrected_aggregate", values.integer),
    "remapped_rows.correctable": ("remapped_rows.correctable", values.integer),
    "remapped_rows.uncorrectable": ("remapped_rows.uncorrectable", values.integer),
    "remapped_rows.pending": ("remapped_rows.pending", values.flag),
    "remapped_rows.failure": ("remapped_rows.failure", values.flag),
    "retired_pages.single_bit_ecc.count": ("retired_pages.single_bit", values.integer),
    "retired_pages.double_bit.count": ("retired_pages.double_bit", values.integer),
    "retired_pages.pending": ("retired_pages.pending", values.flag),
    "fabric.state": ("fabric_state", values.slug),
    "fabric.status": ("fabric_status", values.slug),
    "gpu_recovery_action": ("recovery_action", values.slug),
}
_BESIDE = frozenset({"pid", "process_name", "used_gpu_memory", "used_memory", "retired_pages.address"})
_MAX_ROWS = 256
_UNIT_OF = {"MiB": " MiB", "W": " W", "%": " %"}


class SmiCsv:
    """One header and the rows below it."""

    kind = "nvidia_smi_csv"

    def __init__(self) -> None:
        self._draft = Draft()
        self._header: list[str] = []
        self._rows = 0

    @staticmethod
    def opens(line: str) -> bool:
        """Whether a header of a query for devices stands here."""
        if "," not in line or len(line) > 20_000 or not line[:1].isalpha():
            return False
        names = {_bare(cell) for cell in line.split(",")}
        known = len(names & (_FIELDS.keys() | _GLOBAL.keys()))
        return known >= 2 and not names & _BESIDE and known * 3 >= min(len(names), 12)

    def feed(self, line: str) -> bool:
        """Take a line; False where the rows are over."""
        try:
            cells = next(csv.reader([line.replace("\0", "").strip()], skipinitialspace=True), [])
        except csv.Error:
            return False
        if not self._header:
            self._header = cells
            return True
        if len(cells) != len(self._header) or self._rows >= _MAX_ROWS:
            return False
        row = {_bare(name): _with_unit(name, cell) for name, cell in zip(self._header, cells, strict=True)}
        index = row.get("index", "")
        gpu = f"gpu[{index if index.isdigit() and len(index) < 4 else self._rows}]"
        self._rows += 1
        for name, text in row.items():
            if name in _GLOBAL:
                path, convert = _GLOBAL[name]
            elif name in _FIELDS:
                path, convert = f"{gpu}.{_FIELDS[name][0]}", _FIELDS[name][1]
            else:
                continue
            self._draft.put(path, values.read(text, convert, f"{_SOURCE} {name}"), f"{_SOURCE} {name}")
        return True

    def close(self, draft: Draft) -> None:
        """Hand over the rows."""
        if self._rows:
            draft.kind(self.kind)
            draft.add_all(self._draft.facts())


def _bare(name: str) -> str:
    return name.partition("[")[0].strip()


def _with_unit(name: str, cell: str) -> str:
    """The cell with the unit of its column, which `--format=csv,nounits` leaves out."""
    unit = name.partition("[")[2].rstrip("] ")
    return f"{cell}{_UNIT_OF.get(unit, '')}" if cell.replace(".", "", 1).isdigit() else cell

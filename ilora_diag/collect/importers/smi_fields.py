"""What `nvidia-smi -q` says of a device, from its XML or its text: one table of fields for both.

The text's headings, written as XML names (`FB Memory Usage` as `fb_memory_usage`), often are the XML's names. Where
they are not, and where names changed between drivers, a field lists several places; the first that exists counts.
Places were read in captures of drivers 384 to 610 (nvsmi_device_v9 to v13).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from ilora_diag.collect.importers import values
from ilora_diag.collect.importers.draft import Draft
from ilora_diag.collect.importers.values import Convert
from ilora_diag.collect.vocabulary import absent
from ilora_diag.schema import Known, Unavailable, Value

MAX_PROCESSES = 256  # a device; more are counted and left out
MAX_MIG_DEVICES = 64
_NVML_GPU_IS_LOST = 15


@dataclass(slots=True)
class Node:
    """A section of the document: its name, its text, and the sections in it."""

    name: str
    text: str = ""
    children: list[Node] = field(default_factory=list)

    def find(self, path: str) -> Node | None:
        """The section at `a/b/c`; a section on the way that says "N/A" as a whole stands for what it would hold."""
        node = self
        for name in path.split("/"):
            below = next((child for child in node.children if child.name == name), None)
            if below is None:
                return node if node is not self and not node.children and node.text.strip() else None
            node = below
        return node

    def walk(self) -> Iterator[Node]:
        """The sections below, in order."""
        for child in self.children:
            yield child
            yield from child.walk()


_FIELDS: tuple[tuple[str, Convert, tuple[str, ...]], ...] = (
    ("name", values.words, ("product_name",)),
    ("brand", values.words, ("product_brand",)),
    ("architecture", values.words, ("product_architecture",)),
    ("compute_capability", values.words, ("cuda_compute_capability", "compute_capability", "compute_cap")),
    ("uuid", values.words, ("uuid", "gpu_uuid")),
    ("serial", values.words, ("serial", "serial_number")),
    ("minor_number", values.integer, ("minor_number",)),
    ("vbios", values.words, ("vbios_version",)),
    ("gsp_firmware", values.words, ("gsp_firmware_version",)),
    ("memory_total_bytes", values.size, ("fb_memory_usage/total",)),
    ("memory_reserved_bytes", values.size, ("fb_memory_usage/reserved",)),
    ("memory_used_bytes", values.size, ("fb_memory_usage/used",)),
    ("memory_free_bytes", values.size, ("fb_memory_usage/free",)),
    ("bar1_total_bytes", values.size, ("bar1_memory_usage/total",)),
    ("bar1_used_bytes", values.size, ("bar1_memory_usage/used",)),
    ("virtualization_mode", values.virtualization, ("gpu_virtualization_mode/virtualization_mode",)),
    (
        "license_product",
        values.words,
        (
            "vgpu_software_licensed_product/licensed_product_name",
            "vgpu_software_licensed_product/product_name",
            "grid_licensed_product/licensed_product_name",
            "grid_licensed_product/product_name",
        ),
    ),
    (
        "license_status",
        values.slug,
        ("vgpu_software_licensed_product/license_status", "grid_licensed_product/license_status"),
    ),
    ("mig_mode", values.on_or_off, ("mig_mode/current_mig", "mig_mode/current")),
    ("mig_mode_pending", values.on_or_off, ("mig_mode/pending_mig", "mig_mode/pending")),
    ("compute_mode", values.compute_mode, ("compute_mode",)),
    ("persistence_mode", values.flag, ("persistence_mode",)),
    ("display_active", values.flag, ("display_active",)),
    ("addressing_mode", values.slug, ("addressing_mode",)),
    ("driver_model", values.slug, ("driver_model/current_dm", "driver_model/current")),
    ("ecc.enabled", values.flag, ("ecc_mode/current_ecc", "ecc_mode/current")),
    (
        "remapped_rows.correctable",
        values.integer,
        ("remapped_rows/remapped_row_corr", "remapped_rows/correctable_error"),
    ),
    (
        "remapped_rows.uncorrectable",
        values.integer,
        ("remapped_rows/remapped_row_unc", "remapped_rows/uncorrectable_error"),
    ),
    ("remapped_rows.pending", values.flag, ("remapped_rows/remapped_row_pending", "remapped_rows/pending")),
    (
        "remapped_rows.failure",
        values.flag,
        ("remapped_rows/remapped_row_failure", "remapped_rows/remapping_failure_occurred"),
    ),
    (
        "retired_pages.single_bit",
        values.integer,
        ("retired_pages/multiple_single_bit_retirement/retired_count", "retired_pages/single_bit_ecc"),
    ),
    (
        "retired_pages.double_bit",
        values.integer,
        ("retired_pages/double_bit_retirement/retired_count", "retired_pages/double_bit_ecc"),
    ),
    (
        "retired_pages.pending",
        values.flag,
        (
            "retired_pages/pending_retirement",
            "retired_pages/pending_blacklist",
            "retired_pages/pending_page_blacklist",
            "retired_pages/pending",
        ),
    ),
    ("reset_required", values.flag, ("gpu_reset_status/reset_required",)),
    ("recovery_action", values.slug, ("gpu_recovery_action",)),
    ("fabric_state", values.slug, ("fabric/state",)),
    ("fabric_status", values.slug, ("fabric/status",)),
    ("pcie_replays", values.integer, ("pci/replay_counter", "pci/replays_since_reset")),
    (
        "link_gen",
        values.integer,
        ("pci/pci_gpu_link_info/pcie_gen/current_link_gen", "pci/gpu_link_info/pcie_generation/current"),
    ),
    (
        "link_gen_max",
        values.integer,
        ("pci/pci_gpu_link_info/pcie_gen/max_link_gen", "pci/gpu_link_info/pcie_generation/max"),
    ),
    (
        "link_width",
        values.integer,
        ("pci/pci_gpu_link_info/link_widths/current_link_width", "pci/gpu_link_info/link_width/current"),
    ),
    (
        "link_width_max",
        values.integer,
        ("pci/pci_gpu_link_info/link_widths/max_link_width", "pci/gpu_link_info/link_width/max"),
    ),
    ("performance_state", values.words, ("performance_state",)),
    ("temperature_c", values.integer, ("temperature/gpu_temp", "temperature/gpu_current_temp")),
    (
        "power_draw_w",
        values.number,
        (
            "gpu_power_readings/instant_power_draw",
            "gpu_power_readings/instantaneous_power_draw",
            "gpu_power_readings/power_draw",
            "gpu_power_readings/average_power_draw",
            "power_readings/power_draw",
        ),
    ),
    (
        "power_limit_w",
        values.number,
        (
            "gpu_power_readings/current_power_limit",
            "gpu_power_readings/power_limit",
            "power_readings/enforced_power_limit",
            "power_readings/power_limit",
        ),
    ),
    ("utilization_percent", values.integer, ("utilization/gpu_util", "utilization/gpu")),
)
_MIG_FIELDS: tuple[tuple[str, Convert, tuple[str, ...]], ...] = (
    ("gpu_instance", values.integer, ("gpu_instance_id",)),
    ("compute_instance", values.integer, ("compute_instance_id",)),
    ("memory_total_bytes", values.size, ("fb_memory_usage/total", "shared_fb_memory_usage/total")),
    ("memory_reserved_bytes", values.size, ("fb_memory_usage/reserved", "shared_fb_memory_usage/reserved")),
    ("memory_used_bytes", values.size, ("fb_memory_usage/used", "shared_fb_memory_usage/used")),
    ("memory_free_bytes", values.size, ("fb_memory_usage/free", "shared_fb_memory_usage/free")),
)
# Errors by kind: one total on cards before Ampere, its parts since.
_ECC_OLD = {"corrected": "single_bit/total", "uncorrected": "double_bit/total"}
_ECC_NEW = {
    "corrected": ("sram_correctable", "dram_correctable"),
    "uncorrected": (
        "sram_uncorrectable",
        "sram_uncorrectable_parity",
        "sram_uncorrectable_secded",
        "sram_uncorrectable_sec_ded",
        "dram_uncorrectable",
    ),
}


def put_gpu(draft: Draft, gpu: str, node: Node, source: str) -> None:
    """Everything a device's section says, at paths that begin with `gpu` (as `gpu[0]`)."""
    for name, convert, places in _FIELDS:
        _put_first(draft, f"{gpu}.{name}", node, convert, places, source)
    for kind in ("corrected", "uncorrected"):
        for scope in ("volatile", "aggregate"):
            _put_ecc(draft, f"{gpu}.ecc.{kind}_{scope}", node, f"ecc_errors/{scope}", kind, source)
    _put_clock_reasons(draft, gpu, node, source)
    _put_mig_devices(draft, gpu, node, source)
    _put_processes(draft, gpu, node, source)
    if any(child.text.strip().strip("[]").lower() == "gpu is lost" for child in node.walk()):
        draft.put(f"{gpu}.nvml_status", _NVML_GPU_IS_LOST, source)


def _put_first(draft: Draft, path: str, node: Node, convert: Convert, places: tuple[str, ...], source: str) -> None:
    """The first place with a value; where none has one, the first that says why."""
    for place in places:
        found = node.find(place)
        if found is not None and not found.children:
            value = values.read(found.text, convert, f"{source} {place}")
            draft.put(path, value, f"{source} {place}")
            if not isinstance(value, Unavailable):
                return


def _put_ecc(draft: Draft, path: str, node: Node, scope: str, kind: str, source: str) -> None:
    old = node.find(f"{scope}/{_ECC_OLD[kind]}")
    if old is not None and not old.children:
        draft.put(path, values.read(old.text, values.integer, source), f"{source} {scope}/{_ECC_OLD[kind]}")
        return
    section = node.find(scope)
    if section is None or not section.children:
        return
    parts: list[Known[Value]] = []
    for name in _ECC_NEW[kind]:
        part = section.find(name)
        if part is not None:
            parts.append(values.read(part.text, values.integer, source))
    known = [part for part in parts if isinstance(part, int)]
    broken = [part for part in parts if isinstance(part, Unavailable) and not part.reason.startswith("absent:")]
    if broken:
        draft.put(path, broken[0], source)
    elif known:  # a part that the card does not count says "N/A" and adds nothing
        draft.put(path, sum(known), f"{source} {scope}")
    elif parts:
        draft.put(path, parts[0], f"{source} {scope}")


def _put_clock_reasons(draft: Draft, gpu: str, node: Node, source: str) -> None:
    for name in ("clocks_event_reasons", "clocks_throttle_reasons"):
        section = next((child for child in node.children if child.name == name), None)
        if section is None:
            continue
        path = f"{gpu}.clocks_event_reasons"
        if not section.children:
            draft.put(path, values.no_value(section.text, source) or absent(section.text, source), source)
            continue
        active = [child.name for child in section.walk() if child.text.strip().lower() == "active"]
        prefixes = ("clocks_event_reason_", "clocks_throttle_reason_")
        short = [name.removeprefix(prefixes[0]).removeprefix(prefixes[1]) for name in active]
        draft.put(path, tuple("gpu_idle" if one == "idle" else one for one in short), f"{source} {name}")


def _put_mig_devices(draft: Draft, gpu: str, node: Node, source: str) -> None:
    section = node.find("mig_devices")
    devices = [child for child in (section or node).children if child.name == "mig_device"]
    devices = devices or [child for child in node.children if child.name == "mig_device"]
    if section is None and not devices and node.find("mig_mode") is None:
        return
    draft.put(f"{gpu}.num_mig_devices", len(devices), f"{source} mig_devices")
    for position, device in enumerate(devices[:MAX_MIG_DEVICES]):
        told = device.find("index")
        index = told.text.strip() if told is not None and told.text.strip().isdigit() else ""
        mig = f"{gpu}.mig[{int(index) if 0 < len(index) < 5 else position}]"
        for name, convert, places in _MIG_FIELDS:
            _put_first(draft, f"{mig}.{name}", device, convert, places, source)


def _put_processes(draft: Draft, gpu: str, node: Node, source: str) -> None:
    section = next((child for child in node.children if child.name == "processes"), None)
    if section is None:
        return
    place = f"{source} processes"
    if not section.children and section.text.strip().lower() not in ("", "none"):
        why = values.no_value(section.text, place) or absent(section.text.strip()[:60], place)
        draft.put(f"{gpu}.num_processes", why, place)
        return
    processes = list(_processes(section))
    draft.put(f"{gpu}.num_processes", len(processes), place)
    if len(processes) > MAX_PROCESSES:
        draft.warn(f"{gpu}: {len(processes) - MAX_PROCESSES} of {len(processes)} processes were left out")
    for index, process in enumerate(processes[:MAX_PROCESSES]):
        for name, convert in (("pid", values.integer), ("type", values.words), ("name", values.words)):
            if name in process:
                draft.put(f"{gpu}.process[{index}].{name}", values.read(process[name], convert, place), place)
        used = values.read(process.get("used", "N/A"), values.size, place)
        draft.put(f"{gpu}.process[{index}].used_memory_bytes", used, place)


def _processes(section: Node) -> Iterator[dict[str, str]]:
    names = {"pid": "pid", "type": "type", "process_name": "name", "name": "name"}
    names |= {"used_memory": "used", "used_gpu_memory": "used"}
    for child in section.children:
        if child.name == "process_info":  # XML
            yield {names[leaf.name]: leaf.text for leaf in child.children if leaf.name in names}
        elif child.name == "process_id":  # text: the number, and the rest below it
            rest = {names[leaf.name]: leaf.text for leaf in child.children if leaf.name in names}
            yield {"pid": child.text, **rest}

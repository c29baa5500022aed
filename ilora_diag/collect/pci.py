"""What is on the PCI bus, from /sys/bus/pci: NVIDIA's cards and switches, who drives them, whether they answer."""

from __future__ import annotations

import struct
from pathlib import Path

from ilora_diag.collect.sheet import ABSENT, DENIED, Sheet, list_folder, read_int, read_text, reason_of
from ilora_diag.schema import Known, Unavailable

_NVIDIA = 0x10DE
_DISPLAY, _NVSWITCH, _BRIDGE = (0x0300, 0x0302), 0x0680, 0x0604  # class and subclass (PCI code and id assignment)
_FOLDER = "sys/bus/pci/devices"
_ACS, _ACS_REDIRECT = 0x000D, 0x0004 | 0x0008  # extended capability; P2P request and completion redirect (PCIe base)


def collect_pci(sheet: Sheet, root: Path) -> None:
    """Leaves `pci.*` and `pci[N].*`, cards in the order of their addresses."""
    source = f"/{_FOLDER}"
    names = list_folder(root / _FOLDER)
    if isinstance(names, Unavailable):
        for leaf in ("num_nvidia_gpus", "num_nvswitches"):
            sheet.put(f"pci.{leaf}", names, source)
        return
    ours, switches, bridges = [], 0, []
    for name in names:
        folder = root / _FOLDER / name
        kind = read_int(folder / "class")
        vendor = read_int(folder / "vendor")
        if isinstance(kind, Unavailable):
            continue
        if vendor == _NVIDIA and kind >> 8 in _DISPLAY:
            ours.append(folder)
        elif vendor == _NVIDIA and kind >> 8 == _NVSWITCH:
            switches += 1
        elif kind >> 8 == _BRIDGE:
            bridges.append(folder)
    sheet.put("pci.num_nvidia_gpus", len(ours), source)
    sheet.put("pci.num_nvswitches", switches, source)
    for index, folder in enumerate(ours):
        _card(sheet, index, folder)
    if len(ours) > 1:  # what redirects peer-to-peer traffic matters where there are peers
        sheet.put("pci.acs_redirect", _acs(bridges), f"{source}/*/config")
    _iommu(sheet, root, ours)


def _card(sheet: Sheet, index: int, folder: Path) -> None:
    source = f"/{_FOLDER}/{folder.name}"
    sheet.step(f"read {source}")
    sheet.put(f"pci[{index}].bus_id", folder.name, source)
    device = read_int(folder / "device")
    identity = device if isinstance(device, Unavailable) else f"{_NVIDIA:04x}:{device:04x}"
    sheet.put(f"pci[{index}].device_id", identity, f"{source}/device")
    try:
        driver: Known[str | None] = (folder / "driver").readlink().name
    except FileNotFoundError:
        driver = None
    except OSError as error:
        driver = Unavailable(reason=reason_of(error))
    sheet.put(f"pci[{index}].driver", driver, f"{source}/driver")
    sheet.put(f"pci[{index}].numa_node", read_int(folder / "numa_node"), f"{source}/numa_node")
    for leaf, name in (("link_width", "current_link_width"), ("link_width_max", "max_link_width")):
        sheet.put(f"pci[{index}].{leaf}", read_int(folder / name), f"{source}/{name}")
    try:
        with (folder / "config").open("rb") as file:
            head = file.read(4)
        dead: Known[bool] = head == b"\xff\xff\xff\xff" if len(head) == 4 else Unavailable(reason=f"{ABSENT} empty")
    except OSError as error:
        dead = Unavailable(reason=reason_of(error))
    sheet.put(f"pci[{index}].config_dead", dead, f"{source}/config")


def _acs(bridges: list[Path]) -> Known[bool]:
    """Whether a bridge redirects peer-to-peer requests. Beyond 64 bytes configuration space is root's to read."""
    cut = False
    for folder in bridges:
        try:
            config = (folder / "config").read_bytes()
        except OSError:
            cut = True
            continue
        if len(config) <= 256:
            cut = True
        elif _acs_control(config) & _ACS_REDIRECT:
            return True
    return Unavailable(reason=f"{DENIED} extended configuration space needs root") if cut else False


def _acs_control(config: bytes) -> int:
    """The ACS control register; 0 where the bridge has none. A list of capabilities in a circle ends the search."""
    offset, seen = 0x100, set()
    while offset >= 0x100 and offset + 8 <= len(config) and offset not in seen:
        seen.add(offset)
        (header,) = struct.unpack_from("<I", config, offset)
        if header & 0xFFFF == _ACS:
            return int(struct.unpack_from("<H", config, offset + 6)[0])
        offset = header >> 20
    return 0


def _iommu(sheet: Sheet, root: Path, ours: list[Path]) -> None:
    source = "/sys/class/iommu, iommu_group/type of the cards"
    units = list_folder(root / "sys/class/iommu")
    kinds = {text for folder in ours if isinstance(text := read_text(folder / "iommu_group/type"), str)}
    if kinds:
        sheet.put("pci.iommu", "passthrough" if kinds == {"identity"} else "translated", source)
    elif isinstance(units, Unavailable) and not units.reason.startswith(ABSENT):
        sheet.put("pci.iommu", units, source)
    elif not units or isinstance(units, Unavailable):
        sheet.put("pci.iommu", "off", source)
    else:
        sheet.no("pci.iommu", f"{ABSENT} there is an IOMMU, but no card belongs to a group of it", source)

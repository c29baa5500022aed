"""The card table: one row per card, each number with where it was read.

Sources, by the short names of the rows:

* `SMI`: nvidia-smi tables and `-q` listings quoted in public repositories (memory.total is NVML's total).
* `PROPS`: `torch.cuda.get_device_properties()` printed in public repositories; it prints whole MiB, rounded down.
* `OOM`: "total capacity of X GiB" of an out-of-memory message that names the card, to 0.01 GiB.
* `SMI-Q`: memory.total less memory.reserved of an nvidia-smi -q listing. Where both are known they agree within 2 MiB
  (H200: 143771 - 614 against PROPS 143156; H100: 81559 - 551 against PROPS 81008).
* `DEVQ`: deviceQuery output quoted in a public repository.
* `CC`: developer.nvidia.com/cuda-gpus and cuda-legacy-gpus.
* `UNV`: from memory, confirmed nowhere; the field is listed in `unverified_fields`.

Read in November 2026.
"""

from __future__ import annotations

from dataclasses import dataclass

SOURCES = {
    "SMI": "nvidia-smi tables quoted in public repositories",
    "SMI-Q": "nvidia-smi -q listing: memory.total less memory.reserved",
    "PROPS": "torch.cuda.get_device_properties() quoted in public repositories",
    "OOM": "total capacity in an out-of-memory message that names the card",
    "DEVQ": "deviceQuery output quoted in a public repository",
    "CC": "developer.nvidia.com/cuda-gpus, cuda-legacy-gpus",
    "UNV": "from memory, unconfirmed",
}


@dataclass(frozen=True, slots=True)
class Row:
    """One card as the table writes it; sizes in MiB.

    Attributes:
        key: what people type.
        nvml_name: NVML's name (nvidia-smi, torch.cuda.get_device_name).
        cc: compute capability, "9.0".
        nvml_mib: NVML's total, what nvidia-smi shows.
        torch_mib: smallest and largest total that CUDA (and so torch) was seen to report; empty: not sourced.
        sms: number of streaming multiprocessors; 0 where unknown.
        sources: short names of `SOURCES`, for cc, memory, torch total and SMs together.
        unverified: fields that rest on memory alone: "cc", "memory", "sms", "name".
        aliases: other names people type.
    """

    key: str
    nvml_name: str
    cc: str
    nvml_mib: int
    torch_mib: tuple[int, ...]
    sms: int
    sources: str
    unverified: str = ""
    aliases: str = ""

    @property
    def cc_number(self) -> tuple[int, int]:
        """The compute capability as numbers that compare."""
        major, minor = self.cc.split(".")
        return int(major), int(minor)


_PRO = "NVIDIA RTX PRO 6000 Blackwell"
_RTX = "NVIDIA GeForce RTX"

ROWS: tuple[Row, ...] = (
    # Data centre, Blackwell and Hopper
    Row("b300", "NVIDIA B300", "10.3", 275040, (), 148, "CC UNV", "memory sms name"),
    Row("b200", "NVIDIA B200", "10.0", 183359, (182631, 182642), 148, "SMI CC PROPS"),
    Row("gh200", "NVIDIA GH200 480GB", "9.0", 97871, (), 132, "SMI CC", "sms", "gh200-480gb"),
    Row("gh200-120gb", "NVIDIA GH200 120GB", "9.0", 97871, (), 132, "SMI CC", "name sms"),
    Row("h200", "NVIDIA H200", "9.0", 143771, (143156, 143157), 132, "SMI SMI-Q CC PROPS", "", "h200-sxm,h200-141gb"),
    Row(
        "h100",
        "NVIDIA H100 80GB HBM3",
        "9.0",
        81559,
        (81008, 81090),
        132,
        "SMI SMI-Q CC PROPS",
        "",
        "h100-sxm,h100-sxm5,h100-80gb,h100-80gb-hbm3",
    ),
    Row("h100-pcie", "NVIDIA H100 PCIe", "9.0", 81559, (81008,), 114, "CC PROPS UNV", "memory", "h100-80gb-pcie"),
    Row("h100-nvl", "NVIDIA H100 NVL", "9.0", 95830, (), 132, "SMI CC", "sms", "h100-94gb"),
    Row("h800", "NVIDIA H800", "9.0", 81559, (), 132, "SMI", "cc sms"),
    Row("h20", "NVIDIA H20", "9.0", 97871, (97285,), 78, "PROPS UNV", "memory"),
    Row("l20x", "NVIDIA L20X", "9.0", 143771, (), 0, "SMI", "cc"),
    # Data centre, Ada and Ampere
    Row("l40s", "NVIDIA L40S", "8.9", 46068, (45589,), 142, "SMI CC PROPS"),
    Row("l40", "NVIDIA L40", "8.9", 46068, (), 142, "CC UNV", "memory sms"),
    Row("l4", "NVIDIA L4", "8.9", 23034, (), 58, "SMI CC", "sms"),
    Row("l20", "NVIDIA L20", "8.9", 46068, (), 92, "UNV", "cc memory sms"),
    Row(
        "a100-80gb",
        "NVIDIA A100-SXM4-80GB",
        "8.0",
        81920,
        (81051,),
        108,
        "SMI SMI-Q CC PROPS",
        "",
        "a100-sxm-80gb,a100-sxm4-80",
    ),
    Row("a100-80gb-pcie", "NVIDIA A100 80GB PCIe", "8.0", 81920, (), 108, "SMI CC", "name sms", "a100-pcie-80gb"),
    Row(
        "a100-40gb",
        "NVIDIA A100-SXM4-40GB",
        "8.0",
        40960,
        (40326, 40536),
        108,
        "CC PROPS DEVQ UNV",
        "memory",
        "a100-sxm-40gb,a100-sxm4-40",
    ),
    Row("a100-40gb-pcie", "NVIDIA A100-PCIE-40GB", "8.0", 40960, (40326,), 108, "CC PROPS UNV", "memory"),
    Row("a800-80gb", "NVIDIA A800-SXM4-80GB", "8.0", 81920, (), 108, "UNV", "cc memory sms name"),
    Row("a800-80gb-pcie", "NVIDIA A800 80GB PCIe", "8.0", 81920, (), 108, "SMI", "cc sms"),
    Row("a30", "NVIDIA A30", "8.0", 24576, (), 56, "SMI CC", "sms"),
    Row("a40", "NVIDIA A40", "8.6", 46068, (45416,), 84, "SMI CC PROPS"),
    Row("a10g", "NVIDIA A10G", "8.6", 23028, (22513, 22723), 80, "SMI OOM PROPS", "cc"),
    Row("a10", "NVIDIA A10", "8.6", 23028, (22516,), 72, "SMI SMI-Q CC", "sms"),
    Row("a16", "NVIDIA A16", "8.6", 15356, (), 10, "CC UNV", "memory sms"),
    # Data centre, older
    Row("t4", "Tesla T4", "7.5", 15360, (15079, 15109), 40, "SMI CC PROPS"),
    Row("v100-32gb", "Tesla V100-SXM2-32GB", "7.0", 32768, (), 80, "SMI CC", "name sms", "v100-sxm2-32"),
    Row(
        "v100-16gb", "Tesla V100-SXM2-16GB", "7.0", 16384, (16130, 16160), 80, "CC PROPS UNV", "memory", "v100-sxm2-16"
    ),
    Row("v100-16gb-pcie", "Tesla V100-PCIE-16GB", "7.0", 16384, (16160,), 80, "CC PROPS UNV", "memory"),
    Row("p100", "Tesla P100-PCIE-16GB", "6.0", 16280, (16280,), 56, "SMI CC PROPS", "", "p100-16gb,p100-pcie"),
    Row("p40", "Tesla P40", "6.1", 24576, (), 30, "CC UNV", "memory sms"),
    # Workstation
    Row(
        "rtx-pro-6000",
        f"{_PRO} Server Edition",
        "12.0",
        97887,
        (97250,),
        188,
        "SMI CC PROPS",
        "",
        "rtx-pro-6000-server",
    ),
    Row("rtx-pro-6000-max-q", f"{_PRO} Max-Q Workstation Edition", "12.0", 97887, (), 188, "SMI CC", "sms"),
    Row("rtx-pro-6000-ws", f"{_PRO} Workstation Edition", "12.0", 97887, (), 188, "CC UNV", "memory sms"),
    Row(
        "rtx-6000-ada",
        "NVIDIA RTX 6000 Ada Generation",
        "8.9",
        49140,
        (48622,),
        142,
        "CC PROPS UNV",
        "memory",
        "6000-ada",
    ),
    Row("rtx-5880-ada", "NVIDIA RTX 5880 Ada Generation", "8.9", 46068, (), 110, "SMI", "cc sms", "5880-ada"),
    Row("rtx-4000-sff-ada", "NVIDIA RTX 4000 SFF Ada Generation", "8.9", 20475, (20015,), 48, "SMI SMI-Q", "cc sms"),
    Row("rtx-a6000", "NVIDIA RTX A6000", "8.6", 49140, (48676,), 84, "CC PROPS UNV", "memory", "a6000"),
    Row("rtx-a5000", "NVIDIA RTX A5000", "8.6", 24564, (24138,), 64, "CC PROPS UNV", "memory", "a5000"),
    Row("rtx-a4000", "NVIDIA RTX A4000", "8.6", 16376, (), 48, "CC UNV", "memory sms", "a4000"),
    Row("titan-rtx", "NVIDIA TITAN RTX", "7.5", 24576, (), 72, "SMI", "cc sms"),
    Row("quadro-p2000", "Quadro P2000", "6.1", 5120, (5054,), 8, "SMI SMI-Q", "cc sms"),
    # GeForce
    Row("rtx-5090", f"{_RTX} 5090", "12.0", 32607, (32108, 32118), 170, "CC OOM UNV", "memory sms"),
    Row("rtx-5080", f"{_RTX} 5080", "12.0", 16303, (), 84, "CC UNV", "memory sms"),
    Row("rtx-4090", f"{_RTX} 4090", "8.9", 24564, (24217, 24563), 128, "SMI SMI-Q CC PROPS"),
    Row("rtx-4080-super", f"{_RTX} 4080 SUPER", "8.9", 16376, (15941, 15942), 80, "SMI SMI-Q", "cc sms"),
    Row("rtx-4080", f"{_RTX} 4080", "8.9", 16376, (16049,), 76, "CC PROPS UNV", "memory"),
    Row("rtx-4070-ti-super", f"{_RTX} 4070 Ti SUPER", "8.9", 16376, (15934, 15974), 66, "SMI PROPS", "cc"),
    Row("rtx-3090", f"{_RTX} 3090", "8.6", 24576, (24259, 24575), 82, "SMI CC PROPS"),
    Row("rtx-3090-ti", f"{_RTX} 3090 Ti", "8.6", 24564, (), 84, "CC UNV", "memory sms"),
    Row("rtx-3080", f"{_RTX} 3080", "8.6", 10240, (9842, 10240), 68, "SMI SMI-Q PROPS", "cc", "rtx-3080-10gb"),
    Row("rtx-3070", f"{_RTX} 3070", "8.6", 8192, (), 46, "UNV", "cc memory sms"),
    Row("rtx-3060", f"{_RTX} 3060", "8.6", 12288, (11920, 12044), 28, "SMI SMI-Q PROPS", "cc", "rtx-3060-12gb"),
    Row("rtx-2080-ti", "NVIDIA GeForce RTX 2080 Ti", "7.5", 11264, (11019,), 68, "CC PROPS UNV", "memory"),
    Row("rtx-2080-super", f"{_RTX} 2080 SUPER", "7.5", 8192, (7784,), 48, "SMI SMI-Q", "cc sms"),
    Row("gtx-1080-ti", "NVIDIA GeForce GTX 1080 Ti", "6.1", 11264, (), 28, "CC UNV", "memory sms"),
)
"""Every row's compute capability is that of its chip; a card whose own number no list names has "cc" unverified."""

AMBIGUOUS = {
    "a100": ("a100-40gb", "a100-80gb"),
    "a100sxm": ("a100-40gb", "a100-80gb"),
    "a100sxm4": ("a100-40gb", "a100-80gb"),
    "a100pcie": ("a100-40gb-pcie", "a100-80gb-pcie"),
    "v100": ("v100-16gb", "v100-32gb"),
    "v100sxm2": ("v100-16gb", "v100-32gb"),
    "a800": ("a800-80gb", "a800-80gb-pcie"),
}
"""Names sold with two memory sizes (or buses): a guess would be wrong by tens of GiB, so the user says which."""

"""The fixed vocabulary of causes, with stable codes. Codes are never reused; new ones are added at the end of a family.

A finding's title, consequence and remedy stand under its code in `reports.messages`; the layer is that of the
decision order (the first broken layer leads):

L0 hardware on the bus - L1 kernel module - L2 device nodes - L3 user-space libraries - L4 NVML - L5 cuInit -
L6 state of the devices - L7 driver against build - L8 binaries for the device - L9 features asked for -
L10 limits of the host - L11 Python packages - L12 checkpoint and code
"""

from __future__ import annotations

from dataclasses import dataclass

from ilora_diag.schema import Severity

ERROR, WARNING, NOTE = Severity.ERROR, Severity.WARNING, Severity.NOTE


@dataclass(frozen=True, slots=True)
class Category:
    """One row of the vocabulary.

    Attributes:
        code: as `DRV001`.
        category: the word.
        layer: 0 to 12.
        severity: unless a rule says otherwise.
        meaning: in one sentence.
    """

    code: str
    category: str
    layer: int
    severity: Severity
    meaning: str


CATEGORIES: tuple[Category, ...] = (
    Category("HWR001", "gpu_fell_off_bus", 0, ERROR, "A card no longer answers on the PCI bus."),
    Category("HWR002", "xid_hardware", 1, ERROR, "The kernel log has an Xid that names hardware or firmware."),
    Category("HWR003", "ecc_or_remap", 6, ERROR, "The card's memory has uncorrected errors."),
    Category("DRV001", "driver_too_old", 7, ERROR, "The driver is older than the CUDA of the build allows."),
    Category("DRV002", "driver_or_build_mismatch", 7, ERROR, "Driver and build do not go together."),
    Category("DRV003", "no_driver_visible", 1, ERROR, "No NVIDIA driver can be seen from where the process runs."),
    Category("DRV004", "driver_library_mismatch", 3, ERROR, "User-space driver and kernel module differ."),
    Category(
        "DRV005", "forward_compat_804", 3, ERROR, "Compatibility libraries are in use on a card they do not serve."
    ),
    Category("DRV006", "uvm_missing", 2, ERROR, "The unified-memory module or its device node is missing."),
    Category("DRV007", "uvm_after_suspend", 2, ERROR, "The unified-memory module is stale after a suspend."),
    Category("DRV008", "stub_library", 3, ERROR, "The loader takes the stub of libcuda that toolkits link against."),
    Category("DRV009", "driver_hangs", 4, ERROR, "The driver does not answer within the deadline."),
    Category("DRV010", "node_denied", 2, ERROR, "A device node exists and may not be opened."),
    Category("BLD001", "no_sm_in_wheel", 8, ERROR, "The build has no binaries for this newer card."),
    Category("BLD002", "arch_dropped", 8, ERROR, "The build no longer has binaries for this card; another build has."),
    Category("BLD003", "gpu_too_old", 8, ERROR, "No build of this torch version has binaries for this old card."),
    Category("BLD004", "cpu_only_wheel", 7, ERROR, "The installed torch is a build without CUDA."),
    Category("LIB001", "ld_library_path_shadow", 11, ERROR, "A library of another CUDA is found before torch's own."),
    Category("LIB002", "library_mix", 11, ERROR, "Libraries of several CUDA versions or installers are mixed."),
    Category("LIB003", "cudnn_mismatch", 11, ERROR, "The cuDNN that loads is not the one torch was built with."),
    Category("LIB004", "torchvision_mismatch", 11, ERROR, "torchvision or torchaudio is of another torch version."),
    Category(
        "LIB005", "ext_abi_mismatch", 11, ERROR, "A compiled extension was built for another torch, CUDA or C++ ABI."
    ),
    Category("FAB001", "fabric_manager_missing", 6, ERROR, "An NVSwitch machine without a running fabric manager."),
    Category("FAB002", "fabric_manager_version", 6, ERROR, "Fabric manager and driver have different versions."),
    Category("FAB003", "fabric_manager_not_needed", 6, NOTE, "A fabric manager fails on a machine without NVSwitch."),
    Category("CTR001", "container_toolkit_bug", 2, ERROR, "The container runtime injects the driver wrongly."),
    Category("CTR002", "cgroup_reload", 2, ERROR, "A running container has lost its device permissions."),
    Category("MIG001", "mig_single_instance", 6, NOTE, "A process can use one MIG instance, however many there are."),
    Category("MIG002", "mig_nvml_parse", 6, ERROR, "A program cannot read the MIG name in CUDA_VISIBLE_DEVICES."),
    Category("MIG003", "mig_no_instance", 6, ERROR, "MIG is on and no instance exists."),
    Category("VIS001", "wrong_visible_devices", 5, ERROR, "A variable hides the devices, or names a wrong one."),
    Category(
        "ALC001",
        "expandable_unsupported",
        9,
        ERROR,
        "Expandable segments are on, and refused here.",
    ),
    Category("ALC002", "expandable_not_built", 9, WARNING, "This build was compiled without expandable segments."),
    Category("ALC003", "tegra_expandable", 9, ERROR, "Expandable segments are on on a Jetson."),
    Category("ALC004", "alloc_conf_ignored", 9, WARNING, "An allocator setting is not read by this torch."),
    Category(
        "ALC005", "memory_pools_unsupported", 9, ERROR, "cudaMallocAsync is asked for where memory pools are refused."
    ),
    Category("ALC006", "managed_memory_unsupported", 9, ERROR, "Managed memory is needed where it is refused."),
    Category("ALC007", "alloc_conf_rejected", 9, ERROR, "torch refuses an allocator setting it does not know."),
    Category("SHM001", "shm_too_small", 10, WARNING, "/dev/shm is too small for worker processes or NCCL."),
    Category("SHM002", "shm_permission", 10, ERROR, "/dev/shm may not be written."),
    Category("LIM001", "address_space_limited", 10, WARNING, "The address space of the process is limited."),
    Category("P2P001", "acs_p2p", 6, WARNING, "PCI redirection (ACS, IOMMU) disturbs transfers between cards."),
    Category("MEM001", "masked_oom", 9, ERROR, "Another library's error hides that the card was full."),
    Category("MEM002", "oom_live_tensors", 9, ERROR, "Live tensors fill the card."),
    Category("MEM003", "oom_fragmentation", 9, ERROR, "Enough is reserved and free, but not in one piece."),
    Category("MEM004", "oom_other_process", 9, ERROR, "Others hold the card's memory."),
    Category("MEM005", "oom_capacity_smaller", 9, ERROR, "The card, or the slice of it, is smaller than the request."),
    Category("MEM006", "host_oom_kill", 10, ERROR, "The host's or the container's memory limit ended the process."),
    Category("MEM007", "oom_limit_set", 9, ERROR, "A limit that the process set itself is reached."),
    Category("DEV001", "exclusive_mode", 6, ERROR, "The compute mode lets no further process in."),
    Category("DEV002", "vgpu_unlicensed", 6, WARNING, "A virtual GPU has no licence."),
    Category("TRN001", "checkpoint_pickle", 12, ERROR, "A checkpoint holds classes that cannot be loaded here."),
    Category("TRN002", "device_mismatch", 12, ERROR, "Tensors of one operation lie on different devices."),
    Category("TRN003", "reentrant_checkpoint", 12, ERROR, "Gradient checkpointing runs a graph twice."),
    Category("TRN004", "frozen_input_checkpoint", 12, ERROR, "Gradient checkpointing gets inputs without gradient."),
    Category("TRN005", "retained_graph", 12, ERROR, "Results are kept with the graph that made them, step after step."),
    Category("TRN006", "retained_outputs", 12, ERROR, "Results of earlier steps are kept on the card."),
    Category(
        "TRN007", "second_model_copy", 12, ERROR, "Weights are on the card twice, or were replaced and are still held."
    ),
    Category(
        "TRN008", "kv_cache_in_training", 12, ERROR, "Keys and values are cached for a generation that never comes."
    ),
    Category("TRN009", "hidden_states_output", 12, ERROR, "The hidden states of every layer are asked for."),
    Category(
        "TRN010", "dense_expert_outputs", 12, ERROR, "The output of every expert is written out before they are mixed."
    ),
    Category(
        "TRN011", "full_logits", 12, ERROR, "Logits over the vocabulary are computed where no label asks for them."
    ),
    Category(
        "TRN012",
        "padding_to_max",
        12,
        ERROR,
        "Samples are padded to the longest that is allowed, not to the longest that is there.",
    ),
    Category("TRN013", "eager_attention", 12, ERROR, "Attention writes out the scores of every head."),
    Category(
        "TRN014",
        "optimizer_states",
        12,
        ERROR,
        "The optimizer keeps states of more parameters than are meant to train.",
    ),
    Category("TRN015", "placement_tensor", 12, ERROR, "One tensor cannot be placed on the card."),
    Category("TRN016", "batch_too_large", 12, ERROR, "The batch needs more than the card has."),
    Category("TRN017", "sequence_too_long", 12, ERROR, "The samples are longer than the card can take."),
    Category("UNK001", "unknown", 12, ERROR, "Something is wrong, and the facts do not decide what."),
)
BY_CODE = {row.code: row for row in CATEGORIES}
BY_CATEGORY = {row.category: row for row in CATEGORIES}
FOUND_BY_TRIALS = frozenset(row.category for row in CATEGORIES if row.code[:3] == "TRN" and row.code > "TRN004")
"""No message names these and no fact of a machine shows them: `bisect-oom` does."""
HEALTHY = "healthy"
"""The word for no finding at all; it has no code."""
VOCABULARY = (*BY_CATEGORY, HEALTHY)

"""The fixed vocabulary of causes, with stable codes. Codes are never reused; new ones are added at the end of a family.

A finding's meaning, titles and consequence stand under its code in `reports.messages`; the layer is that of the
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
    """

    code: str
    category: str
    layer: int
    severity: Severity


CATEGORIES: tuple[Category, ...] = (
    Category("HWR001", "gpu_fell_off_bus", 0, ERROR),
    Category("HWR002", "xid_hardware", 1, ERROR),
    Category("HWR003", "ecc_or_remap", 6, ERROR),
    Category("DRV001", "driver_too_old", 7, ERROR),
    Category("DRV002", "driver_or_build_mismatch", 7, ERROR),
    Category("DRV003", "no_driver_visible", 1, ERROR),
    Category("DRV004", "driver_library_mismatch", 3, ERROR),
    Category("DRV005", "forward_compat_804", 3, ERROR),
    Category("DRV006", "uvm_missing", 2, ERROR),
    Category("DRV007", "uvm_after_suspend", 2, ERROR),
    Category("DRV008", "stub_library", 3, ERROR),
    Category("DRV009", "driver_hangs", 4, ERROR),
    Category("DRV010", "node_denied", 2, ERROR),
    Category("BLD001", "no_sm_in_wheel", 8, ERROR),
    Category("BLD002", "arch_dropped", 8, ERROR),
    Category("BLD003", "gpu_too_old", 8, ERROR),
    Category("BLD004", "cpu_only_wheel", 7, ERROR),
    Category("LIB001", "ld_library_path_shadow", 11, ERROR),
    Category("LIB002", "library_mix", 11, ERROR),
    Category("LIB003", "cudnn_mismatch", 11, ERROR),
    Category("LIB004", "torchvision_mismatch", 11, ERROR),
    Category("LIB005", "ext_abi_mismatch", 11, ERROR),
    Category("FAB001", "fabric_manager_missing", 6, ERROR),
    Category("FAB002", "fabric_manager_version", 6, ERROR),
    Category("FAB003", "fabric_manager_not_needed", 6, NOTE),
    Category("CTR001", "container_toolkit_bug", 2, ERROR),
    Category("CTR002", "cgroup_reload", 2, ERROR),
    Category("MIG001", "mig_single_instance", 6, NOTE),
    Category("MIG002", "mig_nvml_parse", 6, ERROR),
    Category("MIG003", "mig_no_instance", 6, ERROR),
    Category("VIS001", "wrong_visible_devices", 5, ERROR),
    Category("ALC001", "expandable_unsupported", 9, ERROR),
    Category("ALC002", "expandable_not_built", 9, WARNING),
    Category("ALC003", "tegra_expandable", 9, ERROR),
    Category("ALC004", "alloc_conf_ignored", 9, WARNING),
    Category("ALC005", "memory_pools_unsupported", 9, ERROR),
    Category("ALC006", "managed_memory_unsupported", 9, ERROR),
    Category("ALC007", "alloc_conf_rejected", 9, ERROR),
    Category("SHM001", "shm_too_small", 10, WARNING),
    Category("SHM002", "shm_permission", 10, ERROR),
    Category("LIM001", "address_space_limited", 10, WARNING),
    Category("P2P001", "acs_p2p", 6, WARNING),
    Category("MEM001", "masked_oom", 9, ERROR),
    Category("MEM002", "oom_live_tensors", 9, ERROR),
    Category("MEM003", "oom_fragmentation", 9, ERROR),
    Category("MEM004", "oom_other_process", 9, ERROR),
    Category("MEM005", "oom_capacity_smaller", 9, ERROR),
    Category("MEM006", "host_oom_kill", 10, ERROR),
    Category("MEM007", "oom_limit_set", 9, ERROR),
    Category("DEV001", "exclusive_mode", 6, ERROR),
    Category("DEV002", "vgpu_unlicensed", 6, WARNING),
    Category("TRN001", "checkpoint_pickle", 12, ERROR),
    Category("TRN002", "device_mismatch", 12, ERROR),
    Category("TRN003", "reentrant_checkpoint", 12, ERROR),
    Category("TRN004", "frozen_input_checkpoint", 12, ERROR),
    Category("TRN005", "retained_graph", 12, ERROR),
    Category("TRN006", "retained_outputs", 12, ERROR),
    Category("TRN007", "second_model_copy", 12, ERROR),
    Category("TRN008", "kv_cache_in_training", 12, ERROR),
    Category("TRN009", "hidden_states_output", 12, ERROR),
    Category("TRN010", "dense_expert_outputs", 12, ERROR),
    Category("TRN011", "full_logits", 12, ERROR),
    Category("TRN012", "padding_to_max", 12, ERROR),
    Category("TRN013", "eager_attention", 12, ERROR),
    Category("TRN014", "optimizer_states", 12, ERROR),
    Category("TRN015", "placement_tensor", 12, ERROR),
    Category("TRN016", "batch_too_large", 12, ERROR),
    Category("TRN017", "sequence_too_long", 12, ERROR),
    Category("UNK001", "unknown", 12, ERROR),
)
BY_CODE = {row.code: row for row in CATEGORIES}
BY_CATEGORY = {row.category: row for row in CATEGORIES}
FOUND_BY_TRIALS = frozenset(row.category for row in CATEGORIES if row.code[:3] == "TRN" and row.code > "TRN004")
"""No message names these and no fact of a machine shows them: `bisect-oom` does."""
HEALTHY = "healthy"
"""The word for no finding at all; it has no code."""
VOCABULARY = (*BY_CATEGORY, HEALTHY)

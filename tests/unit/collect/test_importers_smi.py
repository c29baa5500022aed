"""nvidia-smi in all its forms. The devices are invented."""

from __future__ import annotations

import pytest

from ilora_diag.collect.importers import ImportFactsError, import_facts
from ilora_diag.collect.vocabulary import complaint
from ilora_diag.schema import Facts, Unavailable

MIB = 1 << 20
UUID = "GPU-01234567-89ab-cdef-0123-456789abcdef"


def xml(body: str, *, driver: str = "999.10", head: str = "") -> str:
    return (
        f'<?xml version="1.0" ?>\n{head}<nvidia_smi_log>\n<driver_version>{driver}</driver_version>\n'
        f"<cuda_version>14.1</cuda_version>\n<attached_gpus>1</attached_gpus>\n"
        f'<gpu id="00000000:0A:00.0">\n<product_name>Example Card 9</product_name>\n{body}\n</gpu>\n</nvidia_smi_log>\n'
    )


def reason(facts: Facts, path: str) -> str:
    value = facts.get(path)
    assert isinstance(value, Unavailable), value
    return value.reason


def sound(facts: Facts) -> Facts:
    assert [complaint(fact) for fact in facts.facts if complaint(fact)] == []
    return facts


def test_the_xml_gives_versions_devices_and_memory_in_bytes() -> None:
    facts = sound(
        import_facts(
            xml(
                "<fb_memory_usage><total>8192 MiB</total><reserved>100 MiB</reserved><used>3 MiB</used>"
                "</fb_memory_usage>"
                "<compute_mode>Exclusive_Process</compute_mode><mig_mode><current_mig>Disabled</current_mig></mig_mode>"
                "<gpu_virtualization_mode><virtualization_mode>VGPU</virtualization_mode></gpu_virtualization_mode>"
            )
        )
    )
    assert facts.get("driver.version") == "999.10"
    assert facts.get("cuda.driver_version") == "14.1"
    assert facts.get("gpu[0].name") == "Example Card 9"
    assert facts.get("gpu[0].bus_id") == "00000000:0A:00.0"
    assert facts.get("gpu[0].memory_total_bytes") == 8192 * MIB
    assert facts.get("gpu[0].memory_used_bytes") == 3 * MIB
    assert facts.get("gpu[0].compute_mode") == "exclusive_process"
    assert facts.get("gpu[0].virtualization_mode") == "vgpu"
    assert facts.get("gpu[0].mig_mode") == "disabled"
    assert facts.get("import.kinds") == ("nvidia_smi_xml",)


@pytest.mark.parametrize(
    ("printed", "begins"),
    [
        ("N/A", "absent:"),
        ("[Not Supported]", "absent:"),
        ("Requested functionality has been deprecated", "absent:"),
        ("[Unknown Error]", "failed:"),
        ("GPU requires reset", "failed:"),
        ("Insufficient Permissions", "denied:"),
        ("[Insufficient Permissions]", "denied:"),
        ("forty two", "failed:"),
    ],
)
def test_what_is_no_value_says_why_and_is_never_zero(printed: str, begins: str) -> None:
    facts = sound(import_facts(xml(f"<fb_memory_usage><total>{printed}</total></fb_memory_usage>")))
    assert reason(facts, "gpu[0].memory_total_bytes").startswith(begins)


def test_an_element_that_is_not_there_was_not_collected() -> None:
    assert reason(import_facts(xml("")), "gpu[0].memory_total_bytes") == "not collected"


def test_a_lost_device_fails_alone() -> None:
    lost = xml("<fb_memory_usage><total>GPU is lost</total></fb_memory_usage>")
    second = (
        '<gpu id="00000000:0B:00.0"><fb_memory_usage><total>10 MiB</total></fb_memory_usage></gpu></nvidia_smi_log>'
    )
    facts = sound(import_facts(lost.replace("</nvidia_smi_log>", second)))
    assert facts.get("gpu[0].nvml_status") == 15
    assert reason(facts, "gpu[0].memory_total_bytes").startswith("failed:")
    assert reason(facts, "gpu[1].nvml_status") == "not collected"
    assert facts.get("gpu[1].memory_total_bytes") == 10 * MIB
    assert facts.get("import.warnings") == ("nvidia-smi XML: 1 devices are attached, 2 are described",)


def test_names_of_old_and_new_drivers_mean_the_same() -> None:
    old = xml(
        "<clocks_throttle_reasons><clocks_throttle_reason_sw_power_cap>Active</clocks_throttle_reason_sw_power_cap>"
        "<clocks_throttle_reason_gpu_idle>Not Active</clocks_throttle_reason_gpu_idle></clocks_throttle_reasons>"
        "<power_readings><power_draw>51.50 W</power_draw></power_readings>"
        "<ecc_errors><volatile><double_bit><total>3</total></double_bit></volatile></ecc_errors>"
        "<retired_pages><pending_blacklist>Yes</pending_blacklist></retired_pages>"
    )
    new = xml(
        "<clocks_event_reasons><clocks_event_reason_sw_power_cap>Active</clocks_event_reason_sw_power_cap>"
        "<clocks_event_reason_gpu_idle>Not Active</clocks_event_reason_gpu_idle></clocks_event_reasons>"
        "<gpu_power_readings><average_power_draw>N/A</average_power_draw>"
        "<instant_power_draw>51.50 W</instant_power_draw></gpu_power_readings>"
        "<ecc_errors><volatile><sram_uncorrectable_parity>1</sram_uncorrectable_parity><sram_uncorrectable_secded>0"
        "</sram_uncorrectable_secded><dram_uncorrectable>2</dram_uncorrectable></volatile></ecc_errors>"
        "<retired_pages><pending_retirement>Yes</pending_retirement></retired_pages>"
    )
    for text in (old, new):
        facts = sound(import_facts(text))
        assert facts.get("gpu[0].clocks_event_reasons") == ("sw_power_cap",)
        assert facts.get("gpu[0].power_draw_w") == 51.5
        assert facts.get("gpu[0].ecc.uncorrected_volatile") == 3
        assert facts.get("gpu[0].retired_pages.pending") is True


def test_a_section_that_is_absent_as_a_whole_is_absent_in_its_parts() -> None:
    facts = import_facts(xml("<remapped_rows>N/A</remapped_rows>"))
    assert reason(facts, "gpu[0].remapped_rows.failure") == "absent: N/A"


def test_a_broken_ecc_counter_is_not_added_up() -> None:
    volatile = "<volatile><sram_uncorrectable>2</sram_uncorrectable><dram_uncorrectable>[Unknown Error]"
    facts = import_facts(xml(f"<ecc_errors>{volatile}</dram_uncorrectable></volatile></ecc_errors>"))
    assert reason(facts, "gpu[0].ecc.uncorrected_volatile").startswith("failed:")


def test_processes_without_memory_stay_processes() -> None:
    facts = sound(
        import_facts(
            xml(
                "<processes><process_info><pid>7</pid><type>C</type><process_name>python</process_name>"
                "<used_memory>N/A</used_memory></process_info></processes>"
            )
        )
    )
    assert facts.get("gpu[0].num_processes") == 1
    assert facts.get("gpu[0].process[0].pid") == 7
    assert reason(facts, "gpu[0].process[0].used_memory_bytes").startswith("absent:")


def test_an_xml_cut_in_half_says_where_it_stops() -> None:
    whole = xml("<fb_memory_usage><total>8192 MiB</total></fb_memory_usage>")
    with pytest.raises(
        ImportFactsError, match=r"cut off at its line \d+, inside nvidia_smi_log > gpu > fb_memory_usage"
    ):
        import_facts(whole[: whole.index("8192")])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (xml("", head='<!DOCTYPE nvidia_smi_log [<!ENTITY a "aaaa">]>\n'), "declares"),
        (
            xml("&a;", head='<!DOCTYPE nvidia_smi_log [<!ENTITY a SYSTEM "file:///etc/hostname">]>\n'),
            "declares",
        ),
        (xml("<a>" * 40 + "</a>" * 40), "nested deeper"),
        (xml("<a></b>"), "broken at its line"),
        ('<?xml version="1.0" ?>\n<other/>\n', "holds other, not nvidia_smi_log"),
        (xml("<a>\x01</a>"), "broken at its line"),
    ],
)
def test_a_hostile_xml_is_refused(text: str, message: str) -> None:
    with pytest.raises(ImportFactsError, match=message):
        import_facts(text)


def test_the_usual_document_type_is_accepted_and_not_fetched() -> None:
    facts = import_facts(xml("", head='<!DOCTYPE nvidia_smi_log SYSTEM "http://127.0.0.1:1/nvsmi_device_v12.dtd">\n'))
    assert facts.get("gpu[0].name") == "Example Card 9"


QUERY = """
==============NVSMI LOG==============

Timestamp                                 : Mon Jan  5 10:00:00 2026
Driver Version                            : 999.10
CUDA Version                              : 14.1

Attached GPUs                             : 1
GPU 00000000:0A:00.0
    Product Name                          : Example Card 9
    MIG Mode
        Current                           : Enabled
        Pending                           : Enabled
    MIG Device
        Index                             : 0
        GPU Instance ID                   : 5
        Compute Instance ID               : 0
        Shared FB Memory Usage
            Total                         : 4864 MiB
            Used                          : 2 MiB
    GPU UUID                              : GPU-01234567-89ab-cdef-0123-456789abcdef
    FB Memory Usage
        Total                             : 9728 MiB
        Used                              : 5 MiB
    Compute Mode                          : Default
    ECC Errors
        Volatile
            SRAM Correctable              : 4
            DRAM Correctable              : 1
    Remapped Rows                         : N/A
    Clocks Event Reasons
        Idle                              : Not Active
        HW Slowdown                       : Active
            HW Thermal Slowdown           : Active
    Processes
        GPU instance ID                   : N/A
        Compute instance ID               : N/A
        Process ID                        : 77
            Type                          : C
            Name                          : /usr/bin/python3
            Used GPU Memory               : 300 MiB
"""


def test_the_text_of_a_query_says_the_same_as_its_xml() -> None:
    facts = sound(import_facts(QUERY))
    assert facts.get("driver.version") == "999.10"
    assert facts.get("gpu[0].name") == "Example Card 9"
    assert facts.get("gpu[0].uuid") == UUID
    assert facts.get("gpu[0].memory_total_bytes") == 9728 * MIB
    assert facts.get("gpu[0].num_mig_devices") == 1
    assert facts.get("gpu[0].mig[0].gpu_instance") == 5
    assert facts.get("gpu[0].mig[0].memory_total_bytes") == 4864 * MIB
    assert facts.get("gpu[0].ecc.corrected_volatile") == 5
    assert facts.get("gpu[0].clocks_event_reasons") == ("hw_slowdown", "hw_thermal_slowdown")
    assert facts.get("gpu[0].process[0].pid") == 77
    assert facts.get("gpu[0].process[0].used_memory_bytes") == 300 * MIB
    assert reason(facts, "gpu[0].remapped_rows.pending") == "absent: N/A"


TABLE = """Mon Jan  5 10:00:00 2026
+-----------------------------------------------------------------------------------------+
| NVIDIA-SMI 999.10                 Driver Version: 999.10         CUDA Version: 14.1     |
+-----------------------------------------+------------------------+----------------------+
| GPU  Name                 Persistence-M | Bus-Id          Disp.A | Volatile Uncorr. ECC |
| Fan  Temp   Perf          Pwr:Usage/Cap |           Memory-Usage | GPU-Util  Compute M. |
|                                         |                        |               MIG M. |
|=========================================+========================+======================|
|   0  Example Card 9 With ...        On  |   00000000:0A:00.0 Off |                    2 |
| N/A   30C    P0             70W /  700W |      11MiB /  9728MiB  |      7%   E. Process |
|                                         |                        |             Enabled* |
+-----------------------------------------+------------------------+----------------------+
|   1  ERR!                           On  |   00000000:0B:00.0 Off |                 ERR! |
|ERR!  ERR! ERR!             ERR! / ERR!  |       0MiB /  9728MiB  |   ERR!       Default |
|                                         |                        |                 ERR! |
+-----------------------------------------+------------------------+----------------------+
| MIG devices:                                                                            |
+------------------+----------------------------------+-----------+-----------------------+
|  0    5   0   0  |               2MiB /  4864MiB    | 16      0 |  1   0    0    0    0 |
+------------------+----------------------------------+-----------+-----------------------+

+-----------------------------------------------------------------------------------------+
| Processes:                                                                              |
|  GPU   GI   CI              PID   Type   Process name                        GPU Memory |
|        ID   ID                                                               Usage      |
|=========================================================================================|
|    0     5    0              77      C   python3 train.py                        300MiB |
+-----------------------------------------------------------------------------------------+
"""


def test_the_table_gives_what_it_shows() -> None:
    facts = sound(import_facts(TABLE))
    assert facts.get("gpu[0].name") == "Example Card 9 With ..."
    assert facts.get("gpu[0].ecc.uncorrected_volatile") == 2
    assert facts.get("gpu[0].compute_mode") == "exclusive_process"
    assert facts.get("gpu[0].mig_mode") == "enabled"
    assert facts.get("gpu[0].mig[0].memory_total_bytes") == 4864 * MIB
    assert facts.get("gpu[0].process[0].name") == "python3 train.py"
    assert facts.get("gpu[0].num_processes") == 1
    assert facts.get("gpu[1].num_processes") == 0
    assert reason(facts, "gpu[1].temperature_c").startswith("failed:")
    assert facts.get("nvml.device_count") == 2


def test_the_header_of_old_and_of_newest_drivers() -> None:
    old = import_facts("| NVIDIA-SMI 384.99                 Driver Version: 384.99                    |\n")
    assert old.get("driver.version") == "384.99"
    assert reason(old, "cuda.driver_version") == "not collected"
    new = import_facts("| NVIDIA-SMI 610.1    KMD Version: 610.2     CUDA UMD Version: 13.3  |\n")
    assert (new.get("driver.version"), new.get("cuda.driver_version")) == ("610.2", "13.3")
    broken = import_facts("| NVIDIA-SMI 550.1    Driver Version: 550.1   CUDA Version: ERR!  |\n")
    assert reason(broken, "cuda.driver_version").startswith("failed:")


def test_a_name_cut_by_the_table_is_completed_by_the_list() -> None:
    facts = sound(import_facts(TABLE + f"\nGPU 0: Example Card 9 With Long Name (UUID: {UUID})\n"))
    assert facts.get("gpu[0].name") == "Example Card 9 With Long Name"
    assert reason(facts, "conflict.gpu[0].name") == "not collected"


def test_the_list_names_mig_devices() -> None:
    facts = sound(import_facts(f"GPU 0: Example Card 9 (UUID: {UUID})\n  MIG 2g.20gb     Device  0: (UUID: MIG-1-2)\n"))
    assert facts.get("gpu[0].mig[0].name") == "2g.20gb"
    assert facts.get("gpu[0].num_mig_devices") == 1


def test_the_csv_gives_the_compute_capability() -> None:
    header = "index, name, driver_version, compute_cap, memory.total [MiB], ecc.mode.current, fabric.state\n"
    facts = sound(import_facts(header + "1, Example Card 9, 999.10, 12.1, 9728 MiB, [N/A], Completed\n"))
    assert facts.get("gpu[1].compute_capability") == "12.1"
    assert facts.get("gpu[1].memory_total_bytes") == 9728 * MIB
    assert facts.get("gpu[1].fabric_state") == "completed"
    assert reason(facts, "gpu[1].ecc.enabled").startswith("absent:")
    bare = import_facts("name, memory.total [MiB]\nExample Card 9, 9728\n")
    assert bare.get("gpu[0].memory_total_bytes") == 9728 * MIB


@pytest.mark.parametrize(
    ("message", "status"),
    [
        ("Failed to initialize NVML: Driver/library version mismatch", 18),
        ("Failed to initialize NVML: Insufficient Permissions", 4),
        ("Failed to initialize NVML: Unknown Error", 999),
        ("NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver. Make sure ...", 9),
        ("NVIDIA-SMI couldn't find libnvidia-ml.so library in your system. Please make sure ...", 12),
    ],
)
def test_a_failing_nvidia_smi_is_a_fact(message: str, status: int) -> None:
    facts = sound(import_facts(message))
    assert facts.get("nvml.status") == status
    assert facts.get("driver.nvidia_smi") == message


def test_a_capture_takes_its_head_and_ignores_its_help_texts() -> None:
    text = (
        "collected_at:   2026-01-05T10:00:00Z\nos:             linux (Example Linux 1 (Server))\nkernel:  9.9.9-1\n"
        "####\n# capabilities :: help (-h)\n# $ nvidia-smi -h\n####\ntorch: 1.0\nGPU: Wrong Card\n"
        f"####\n# idle :: query (-q)\n# $ nvidia-smi -q\n####\n{QUERY}"
    )
    facts = sound(import_facts(text))
    assert facts.captured_at == 1767607200.0
    assert facts.get("os.name") == "Example Linux 1 (Server)"
    assert facts.get("os.kernel") == "9.9.9-1"
    assert facts.get("gpu[0].name") == "Example Card 9"
    assert reason(facts, "torch.version") == "not collected"

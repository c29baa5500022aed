/* libnvidia-ml.so.1 for tests: the calls our collector makes, answered from a state file (state.h). Signatures and
 * structures follow nvml.h; a function that is left out here is "not found" for pynvml, as in an old driver. */
#include "state.h"

#define DEVICES state_number("device_count", -1, 1)
#define DEVICE(handle) ((int)((long)(handle) - 1))
#define MIG_BASE 1000
typedef void *Device;
typedef struct { unsigned long long total, free, used; } Memory;
typedef struct { unsigned version; unsigned long long total, reserved, free, used; } Memory2;
typedef struct { char legacy[16]; unsigned domain, bus, device, id, subsystem; char bus_id[32]; } Pci;
typedef struct { unsigned pid; unsigned long long used; unsigned gpu_instance, compute_instance; } Process;
typedef struct { unsigned gpu, memory; } Utilization;
typedef struct { unsigned field, scope; long long time, latency; unsigned type; int code; unsigned long long value; } Field;
typedef struct { unsigned version; unsigned char uuid[16]; int status; unsigned clique; unsigned char state; unsigned health; } Fabric;

int nvmlInitWithFlags(unsigned flags) { (void)flags; return enter("nvmlInit", -1); }
int nvmlShutdown(void) { return 0; }
const char *nvmlErrorString(int code) { (void)code; return "mocked"; }
int nvmlSystemGetDriverVersion(char *to, unsigned length) {
    copy_text(to, length, "driver_version", -1, "550.54.14");
    return enter("nvmlSystemGetDriverVersion", -1);
}
int nvmlSystemGetNVMLVersion(char *to, unsigned length) {
    copy_text(to, length, "nvml_version", -1, "12.550.54.14");
    return enter("nvmlSystemGetNVMLVersion", -1);
}
int nvmlSystemGetCudaDriverVersion_v2(int *to) {
    *to = (int)state_number("cuda_version", -1, 12040);
    return enter("nvmlSystemGetCudaDriverVersion_v2", -1);
}
int nvmlSystemGetProcessName(unsigned pid, char *to, unsigned length) {
    (void)pid;
    copy_text(to, length, "process_name", -1, "python");
    return enter("nvmlSystemGetProcessName", -1);
}
int nvmlDeviceGetCount_v2(unsigned *to) { *to = (unsigned)DEVICES; return enter("nvmlDeviceGetCount_v2", -1); }
int nvmlDeviceGetHandleByIndex_v2(unsigned index, Device *to) {
    *to = (Device)(long)(index + 1);
    return index < DEVICES ? enter("nvmlDeviceGetHandleByIndex_v2", (int)index) : 2;
}

int nvmlDeviceGetName(Device d, char *to, unsigned length) {
    int mig = DEVICE(d) >= MIG_BASE;
    copy_text(to, length, mig ? "mig_name" : "name", DEVICE(d), mig ? "NVIDIA A100-SXM4-40GB MIG 1g.5gb" : "NVIDIA A40");
    return enter("nvmlDeviceGetName", DEVICE(d));
}
int nvmlDeviceGetUUID(Device d, char *to, unsigned length) {
    char uuid[64];
    snprintf(uuid, sizeof uuid, "%s-00000000-0000-0000-0000-%012d", DEVICE(d) >= MIG_BASE ? "MIG" : "GPU", DEVICE(d));
    copy_text(to, length, "uuid", DEVICE(d), uuid);
    return enter("nvmlDeviceGetUUID", DEVICE(d));
}
int nvmlDeviceGetPciInfo_v3(Device d, Pci *to) {
    memset(to, 0, sizeof *to);
    snprintf(to->bus_id, sizeof to->bus_id, "00000000:%02X:00.0", (unsigned)state_number("bus", DEVICE(d), DEVICE(d) + 1));
    return enter("nvmlDeviceGetPciInfo_v3", DEVICE(d));
}
#define NUMBER(function, type, key, otherwise)                                                                      \
    int function(Device d, type *to) {                                                                              \
        *to = (type)state_number(key, DEVICE(d), otherwise);                                                        \
        return enter(#function, DEVICE(d));                                                                         \
    }
NUMBER(nvmlDeviceGetMinorNumber, unsigned, "minor", DEVICE(d))
NUMBER(nvmlDeviceGetBrand, unsigned, "brand", 2)
NUMBER(nvmlDeviceGetArchitecture, unsigned, "architecture", 7)
NUMBER(nvmlDeviceGetVirtualizationMode, unsigned, "virtualization_mode", 0)
NUMBER(nvmlDeviceGetComputeMode, unsigned, "compute_mode", 0)
NUMBER(nvmlDeviceGetPersistenceMode, unsigned, "persistence_mode", 1)
NUMBER(nvmlDeviceGetDisplayActive, unsigned, "display_active", 0)
NUMBER(nvmlDeviceGetPcieReplayCounter, unsigned, "pcie_replays", 0)
NUMBER(nvmlDeviceGetCurrPcieLinkWidth, unsigned, "link_width", 16)
NUMBER(nvmlDeviceGetMaxPcieLinkWidth, unsigned, "link_width_max", 16)
NUMBER(nvmlDeviceGetPerformanceState, unsigned, "performance_state", 0)
NUMBER(nvmlDeviceGetPowerUsage, unsigned, "power_mw", 71500)
NUMBER(nvmlDeviceGetCurrentClocksThrottleReasons, unsigned long long, "clock_reasons", 1)
NUMBER(nvmlDeviceGetMaxMigDeviceCount, unsigned, "mig_slots", 7)
NUMBER(nvmlDeviceGetGpuInstanceId, unsigned, "gpu_instance", 7)
NUMBER(nvmlDeviceGetComputeInstanceId, unsigned, "compute_instance", 0)

int nvmlDeviceGetCudaComputeCapability(Device d, int *major, int *minor) {
    *major = (int)state_number("cc_major", DEVICE(d), 8);
    *minor = (int)state_number("cc_minor", DEVICE(d), 6);
    return enter("nvmlDeviceGetCudaComputeCapability", DEVICE(d));
}
int nvmlDeviceGetTemperature(Device d, unsigned sensor, unsigned *to) {
    (void)sensor;
    *to = (unsigned)state_number("temperature", DEVICE(d), 41);
    return enter("nvmlDeviceGetTemperature", DEVICE(d));
}
int nvmlDeviceGetEccMode(Device d, unsigned *current, unsigned *pending) {
    *current = *pending = (unsigned)state_number("ecc", DEVICE(d), 1);
    return enter("nvmlDeviceGetEccMode", DEVICE(d));
}
int nvmlDeviceGetTotalEccErrors(Device d, unsigned kind, unsigned scope, unsigned long long *to) {
    const char *key = kind ? (scope ? "ecc_unc_agg" : "ecc_unc_vol") : (scope ? "ecc_cor_agg" : "ecc_cor_vol");
    *to = (unsigned long long)state_number(key, DEVICE(d), 0);
    return enter("nvmlDeviceGetTotalEccErrors", DEVICE(d));
}
int nvmlDeviceGetRemappedRows(Device d, unsigned *cor, unsigned *unc, unsigned *pending, unsigned *failure) {
    *cor = (unsigned)state_number("rows_cor", DEVICE(d), 0);
    *unc = (unsigned)state_number("rows_unc", DEVICE(d), 0);
    *pending = (unsigned)state_number("rows_pending", DEVICE(d), 0);
    *failure = (unsigned)state_number("rows_failure", DEVICE(d), 0);
    return enter("nvmlDeviceGetRemappedRows", DEVICE(d));
}
int nvmlDeviceGetMemoryInfo(Device d, Memory *to) {
    to->total = (unsigned long long)state_number("memory_total", DEVICE(d), 48LL << 30);
    to->used = (unsigned long long)state_number("memory_used", DEVICE(d), 1LL << 30);
    to->free = to->total - to->used;
    return enter("nvmlDeviceGetMemoryInfo", DEVICE(d));
}
int nvmlDeviceGetMemoryInfo_v2(Device d, Memory2 *to) {
    Memory one;
    int code = enter("nvmlDeviceGetMemoryInfo_v2", DEVICE(d));
    int plain = nvmlDeviceGetMemoryInfo(d, &one);
    to->total = one.total;
    to->used = one.used;
    to->reserved = (unsigned long long)state_number("memory_reserved", DEVICE(d), 600LL << 20);
    to->free = one.free - to->reserved;
    return code ? code : plain;
}
int nvmlDeviceGetUtilizationRates(Device d, Utilization *to) {
    to->gpu = (unsigned)state_number("utilization", DEVICE(d), 0);
    to->memory = 0;
    return enter("nvmlDeviceGetUtilizationRates", DEVICE(d));
}
int nvmlDeviceGetMigMode(Device d, unsigned *current, unsigned *pending) {
    const char *text = state_of("mig", DEVICE(d));
    int code = enter("nvmlDeviceGetMigMode", DEVICE(d));
    if (!text) return code ? code : 3;
    *current = *pending = (unsigned)strtol(text, NULL, 0);
    return code;
}
int nvmlDeviceGetMigDeviceHandleByIndex(Device d, unsigned slot, Device *to) {
    if (slot >= state_number("mig_devices", DEVICE(d), 0)) return 6;
    *to = (Device)(long)(MIG_BASE + 10 * DEVICE(d) + slot + 1);
    return enter("nvmlDeviceGetMigDeviceHandleByIndex", DEVICE(d));
}
int nvmlDeviceGetFieldValues(Device d, int count, Field *fields) {
    for (int i = 0; i < count; i++) {
        fields[i].value = (unsigned long long)state_number("recovery_action", DEVICE(d), 0);
        fields[i].code = enter("field_230", DEVICE(d));
    }
    return enter("nvmlDeviceGetFieldValues", DEVICE(d));
}
int nvmlDeviceGetGpuFabricInfoV(Device d, Fabric *to) {
    to->state = (unsigned char)state_number("fabric_state", DEVICE(d), 0);
    to->status = (int)state_number("fabric_status", DEVICE(d), 0);
    return enter("nvmlDeviceGetGpuFabricInfoV", DEVICE(d));
}
int nvmlDeviceGetComputeRunningProcesses_v3(Device d, unsigned *count, Process *to) {
    unsigned running = (unsigned)state_number("processes", DEVICE(d), 0);
    int code = enter("nvmlDeviceGetComputeRunningProcesses_v3", DEVICE(d));
    if (code) return code;
    if (*count < running) { *count = running; return 7; }
    *count = running;
    for (unsigned i = 0; to && i < running; i++) {
        to[i].pid = 4000 + i;
        to[i].used = (unsigned long long)state_number("process_memory", DEVICE(d), 2LL << 30);
    }
    return 0;
}
int nvmlDeviceGetGraphicsRunningProcesses_v3(Device d, unsigned *count, Process *to) {
    (void)to;
    *count = 0;
    return enter("nvmlDeviceGetGraphicsRunningProcesses_v3", DEVICE(d));
}
int nvmlDeviceGetP2PStatus(Device one, Device other, int index, int *to) {
    (void)other, (void)index;
    *to = (int)state_number("p2p", DEVICE(one), 0);
    return enter("nvmlDeviceGetP2PStatus", DEVICE(one));
}

/* libcuda.so.1 for tests: the calls our collector makes, answered from a state file (state.h). The virtual memory
 * calls check what they are handed, so that a wrong structure or order fails a test: a request that is not for pinned
 * memory of the device gets 1 (invalid value). */
#include <stddef.h>
#include <stdint.h>
#include "state.h"

#define NOT_SUPPORTED 801
typedef struct { int type, id; } Location;
typedef struct {
    int type, handle_types;
    Location location;
    void *win32;
    struct { unsigned char compression, rdma; unsigned short usage; unsigned char reserved[4]; } flags;
} Prop;
typedef struct { Location location; int flags; } Access;
static const size_t granule = 2u << 20;
static int initialised, current;

/* cuDriverGetVersion works before cuInit; everything else is 3 (not initialised) until then. */
static int ready(const char *function, int device) {
    int code = enter(function, device);
    return code ? code : initialised ? 0 : 3;
}
/* What needs a context is 201 (invalid context) without one. */
static int within(const char *function) {
    int code = ready(function, -1);
    return code ? code : current ? 0 : 201;
}
static int vmm(void) { return (int)state_number("attribute.102", -1, 1); }
static int wrong(const Prop *prop) {
    return prop->type != 1 || prop->location.type != 1 || prop->location.id < 0
        || prop->location.id >= state_number("cuda_device_count", -1, 1);
}

int cuInit(unsigned flags) {
    int code = enter("cuInit", -1);
    initialised = !flags && !code;
    return code;
}
int cuDriverGetVersion(int *to) { *to = (int)state_number("cuda_version", -1, 12040); return enter("cuDriverGetVersion", -1); }
int cuGetErrorName(int code, const char **to) {
    *to = code == 801 ? "CUDA_ERROR_NOT_SUPPORTED" : code == 802 ? "CUDA_ERROR_SYSTEM_NOT_READY" : NULL;
    return *to ? 0 : 1;
}
int cuDeviceGetCount(int *to) { *to = (int)state_number("cuda_device_count", -1, 1); return ready("cuDeviceGetCount", -1); }
int cuDeviceGet(int *to, int ordinal) { *to = ordinal; return ready("cuDeviceGet", ordinal); }
int cuDeviceGetName(char *to, int length, int device) {
    copy_text(to, (unsigned)length, "name", device, "NVIDIA A40");
    return ready("cuDeviceGetName", device);
}
int cuDeviceGetUuid(char *to, int device) { memset(to, 0, 16); to[15] = (char)device; return ready("cuDeviceGetUuid", device); }
int cuDeviceTotalMem_v2(size_t *to, int device) {
    *to = (size_t)state_number("memory_total", device, 48LL << 30);
    return ready("cuDeviceTotalMem_v2", device);
}
int cuDeviceGetAttribute(int *to, int number, int device) {
    static const struct { int number, value; } healthy[] = {
        {18, 0}, {20, 0}, {32, 1}, {33, -1}, {34, 0}, {50, 0}, {75, 8}, {76, 6}, {83, 1}, {89, 1},
        {102, 1}, {103, 1}, {110, 1}, {115, 1}, {128, 0},
    };
    char key[64];
    const char *text;
    int code = ready("cuDeviceGetAttribute", device);
    if (code) return code;
    snprintf(key, sizeof key, "attribute.%d", number);
    text = state_of(key, device);
    if (text && !strcmp(text, "unknown")) return 1;
    if (text) { *to = (int)strtol(text, NULL, 0); return 0; }
    for (size_t i = 0; i < sizeof healthy / sizeof *healthy; i++)
        if (healthy[i].number == number) {
            *to = number == 33 ? (int)state_number("cuda_bus", device, device + 1) : healthy[i].value;
            return 0;
        }
    return 1;
}

int cuMemGetAllocationGranularity(size_t *to, const Prop *prop, int option) {
    int code = ready("cuMemGetAllocationGranularity", -1);
    if (code) return code;
    if (wrong(prop) || option) return 1;
    *to = granule;
    return vmm() ? 0 : NOT_SUPPORTED;
}
int cuDevicePrimaryCtxRetain(void **to, int device) { *to = &initialised; return ready("cuDevicePrimaryCtxRetain", device); }
int cuDevicePrimaryCtxRelease_v2(int device) { current = 0; return ready("cuDevicePrimaryCtxRelease_v2", device); }
int cuCtxSetCurrent(void *context) {
    int code = ready("cuCtxSetCurrent", -1);
    current = !code && context == &initialised;
    return code;
}
int cuMemAddressReserve(uint64_t *to, size_t size, size_t alignment, uint64_t address, uint64_t flags) {
    int code = within("cuMemAddressReserve");
    if (code) return code;
    if (!size || size % granule || alignment || address || flags) return 1;
    *to = 0x700000000000;
    return vmm() ? 0 : NOT_SUPPORTED;
}
int cuMemAddressFree(uint64_t address, size_t size) {
    return address == 0x700000000000 && size % granule == 0 ? within("cuMemAddressFree") : 1;
}
int cuMemCreate(uint64_t *to, size_t size, const Prop *prop, uint64_t flags) {
    char key[64];
    int code = within("cuMemCreate");
    if (code) return code;
    if (wrong(prop) || !size || size % granule || flags) return 1;
    snprintf(key, sizeof key, "cuMemCreate.h%d%s", prop->handle_types, prop->flags.rdma ? ".rdma" : "");
    code = enter(key, -1);
    *to = 7 + (uint64_t)prop->handle_types + 10 * prop->flags.rdma;
    return code ? code : vmm() ? 0 : NOT_SUPPORTED;
}
int cuMemRelease(uint64_t handle) { return handle >= 7 ? within("cuMemRelease") : 1; }
int cuMemMap(uint64_t address, size_t size, size_t offset, uint64_t handle, uint64_t flags) {
    return address == 0x700000000000 && size % granule == 0 && !offset && handle >= 7 && !flags ? within("cuMemMap") : 1;
}
int cuMemUnmap(uint64_t address, size_t size) { (void)size; return address == 0x700000000000 ? within("cuMemUnmap") : 1; }
int cuMemSetAccess(uint64_t address, size_t size, const Access *access, size_t count) {
    (void)size;
    if (address != 0x700000000000 || access->location.type != 1 || access->flags != 3 || count != 1) return 1;
    return within("cuMemSetAccess");
}
int cuMemAlloc_v2(uint64_t *to, size_t size) { *to = 1 + size; return within("cuMemAlloc_v2"); }
int cuMemFree_v2(uint64_t address) { return address ? within("cuMemFree_v2") : 1; }
int cuMemAllocManaged(uint64_t *to, size_t size, unsigned flags) {
    int code = within("cuMemAllocManaged");
    if (code) return code;
    *to = 1 + size;
    return flags != 1 ? 1 : state_number("attribute.83", -1, 1) ? 0 : NOT_SUPPORTED;
}
int cuMemAllocAsync(uint64_t *to, size_t size, void *stream) {
    int code = within("cuMemAllocAsync");
    if (code) return code;
    *to = 1 + size;
    return stream ? 400 : state_number("attribute.115", -1, 1) ? 0 : NOT_SUPPORTED;
}
int cuMemFreeAsync(uint64_t address, void *stream) { (void)stream; return address ? within("cuMemFreeAsync") : 1; }
int cuStreamSynchronize(void *stream) { (void)stream; return within("cuStreamSynchronize"); }
int cuMemHostAlloc(void **to, size_t size, unsigned flags) { (void)size, (void)flags; *to = &current; return within("cuMemHostAlloc"); }
int cuMemFreeHost(void *memory) { return memory == &current ? within("cuMemFreeHost") : 1; }

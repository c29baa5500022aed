"""The keys of environment reports and what each becomes.

Keys are compared in lower case, without bullets, back quotes, parentheses and question marks. They come from
torch.utils.collect_env (0.4 to 2.15), transformers env, accelerate env, Lightning's and DeepSpeed's reports, vLLM's
collect_env, GitHub's issue form of PyTorch, and lscpu.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from ilora_diag.collect.importers import values
from ilora_diag.collect.importers.draft import Draft
from ilora_diag.collect.importers.report_packages import KNOWN, normal_name, put_package, read_torch_version
from ilora_diag.collect.importers.report_phrases import read_phrases
from ilora_diag.collect.vocabulary import absent
from ilora_diag.schema import Known, Value

_SOURCE = "report"
Take = Callable[[Draft, str], None]
# collect_env's words for nothing, and people's.
_NOTHING = frozenset({"could not collect", "no cuda", "n/a", "na", "unknown", "", "?", "-", "not found", "none found"})
_VERSION = re.compile(r"v?(\d+(?:\.\w+){0,5}(?:[+-][\w.]+)?)")
_DRIVER = re.compile(r"\b(\d{3,4}(?:\.\d{1,4}){0,2})\b")
_TIMES = r"(?:x|\*|\u00d7)"
_MANY = re.compile(rf"(\d{{1,3}})\s*{_TIMES}\s*(.+)|(.+?)\s+{_TIMES}\s*(\d{{1,3}})", re.IGNORECASE)


def _put(draft: Draft, path: str, value: Known[Value]) -> None:
    draft.put(path, value, _SOURCE)


def nothing(text: str) -> bool:
    """Whether a value says that there is none."""
    return text.strip().lower() in _NOTHING


def _text(path: str) -> Take:
    def take(draft: Draft, text: str) -> None:
        _put(draft, path, absent(text or "empty", _SOURCE) if nothing(text) else values.words(text))

    return take


def _version(path: str) -> Take:
    def take(draft: Draft, text: str) -> None:
        match = _VERSION.match(re.sub(r"^\([^)]{0,80}\)\s*", "", text))  # gcc names its packager first
        if match is not None:
            _put(draft, path, match[1])
        elif nothing(text) or text.lower() in ("not installed", "none"):
            _put(draft, path, absent(text or "empty", _SOURCE))

    return take


def _build(path: str) -> Take:
    """A build's CUDA or ROCm: "None" is knowledge here."""

    def take(draft: Draft, text: str) -> None:
        if text.strip().lower() == "none":
            _put(draft, path, None)
        else:
            _version(path)(draft, text)

    return take


def _flag(path: str) -> Take:
    def take(draft: Draft, text: str) -> None:
        word = text.strip().rstrip(".").partition(" ")[0].rstrip(",;")
        _put(draft, path, values.read(word, values.flag, _SOURCE))

    return take


def _integer(path: str) -> Take:
    return lambda draft, text: _put(draft, path, values.read(text.split(",")[0], values.integer, _SOURCE))


def _torch(draft: Draft, text: str) -> None:
    if nothing(text):
        _put(draft, "torch.version", absent(text or "empty", _SOURCE))
    elif text.lower().startswith("not installed"):
        _put(draft, "torch.version", None)
    else:
        read_torch_version(draft, text)


def _os(draft: Draft, text: str) -> None:
    if nothing(text):
        return
    first, _, rest = text.partition(",")
    arch = re.search(r"\((x86_64|aarch64|arm64|ppc64le|amd64|\d\d-bit)\)\s*$", first)
    if arch is not None:
        first = first[: arch.start()]
        if "bit" not in arch[1]:
            _put(draft, "os.arch", arch[1])
    _put(draft, "os.name", values.words(first))
    read_phrases(draft, f"{first}, {rest}" if rest else first)
    _family(draft, first)


def _family(draft: Draft, text: str) -> None:
    low = text.lower()
    for word, family in (("windows", "windows"), ("macos", "macos"), ("mac os", "macos"), ("darwin", "macos")):
        if word in low:
            _put(draft, "os.family", family)
            return
    if re.search(r"linux|ubuntu|debian|centos|red hat|rhel|fedora|rocky|alma|suse|arch|gentoo|mint", low):
        _put(draft, "os.family", "linux")


def _platform(draft: Draft, text: str) -> None:
    """`Linux-5.15.0-84-generic-x86_64-with-glibc2.35`, as platform.platform() writes it."""
    if nothing(text):
        return
    _put(draft, "python.platform", values.words(text))
    _family(draft, text.partition("-")[0])
    match = re.match(r"Linux-(\d+\.\d+\S*?)-(x86_64|aarch64|ppc64le|arm64)\b", text)
    if match is None:
        return
    _put(draft, "os.kernel", match[1])
    _put(draft, "os.arch", match[2])
    _put(draft, "os.wsl", "microsoft" in match[1].lower())
    if "tegra" in match[1].lower():
        _put(draft, "os.tegra", True)


def _driver(draft: Draft, text: str) -> None:
    if nothing(text):
        _put(draft, "driver.version", absent(text or "empty", _SOURCE))
    elif re.search(r"kernel|user|client|libcuda|NVML", text, re.IGNORECASE):
        if not read_phrases(draft, text):
            draft.note(f"driver: {text}")
    else:
        match = _DRIVER.search(text)
        if match is None:
            draft.note(f"driver: {text}")
            return
        _put(draft, "driver.version", match[1])
        read_phrases(draft, text[match.end() :])


def put_gpus(draft: Draft, text: str, first: int = 0) -> int:
    """One line that names devices: `2x RTX 3090`, `A100 with MIG instances`. Gives the number of the next device."""
    if nothing(text) or text.lower() in ("none", "no", "cpu", "no gpu"):
        return first
    name, _, rest = re.sub(r"^(?:GPU|cuda) ?:?\d{1,3}: ", "", text).partition(" with ")
    name = re.sub(r"\s*\(UUID: [\w-]{1,80}\)", "", name).strip()
    if re.fullmatch(r"\d{1,3} ?GPUs?\b.*", name, re.IGNORECASE):
        draft.note(f"GPUs: {text}")
        return first
    several = re.match(r"any (?:of )?(.+)", name, re.IGNORECASE)
    if several is not None:
        choices = re.split(r",\s*|\s+or\s+", several[1])
        draft.warn(f"the report names alternatives ({name}); the first is taken for the device")
        name = choices[0]
    many = _MANY.fullmatch(name)
    number = min(int(many[1] or many[4]), 64) if many is not None else 1
    name = values.words((many[2] or many[3]) if many is not None else name)
    for index in range(first, first + number):
        _put(draft, f"gpu[{index}].name", name)
    if rest:
        read_phrases(draft, rest)
        draft.note(f"GPUs: {text}")
    return first + number


def _cudnn(draft: Draft, text: str) -> None:
    if text.lower().startswith("probably one of"):
        return
    if text.startswith("/") or ":\\" in text[:4]:
        _put(draft, "cudnn.candidates", (values.words(text),))
    else:
        _version("cudnn.version")(draft, text)


def _allocator(draft: Draft, text: str) -> None:
    if not nothing(text):
        _put(draft, "env.PYTORCH_CUDA_ALLOC_CONF", values.words(text))


def _loading(draft: Draft, text: str) -> None:
    _put(draft, "env.CUDA_MODULE_LOADING", None if nothing(text) else values.words(text))


def _shm(draft: Draft, text: str) -> None:
    read_phrases(draft, f"/dev/shm {text}")


def _limit(draft: Draft, text: str) -> None:
    read_phrases(draft, f"memory limit {text}")


def _hypervisor(draft: Draft, text: str) -> None:
    _put(draft, "os.hypervisor", values.slug(text))


def _container(draft: Draft, text: str) -> None:
    draft.note(f"container: {text}")
    for word in ("docker", "podman", "kubernetes", "singularity", "apptainer", "lxc"):
        if word in text.lower():
            _put(draft, "container.kind", "singularity" if word == "apptainer" else word)
            break
    read_phrases(draft, text)


def _toolkit(draft: Draft, text: str) -> None:
    """The local toolkit: what collect_env calls the runtime version. It is not the driver's CUDA."""
    _version("toolkit.cuda_version")(draft, text)


def _cuda_and_cudnn(draft: Draft, text: str) -> None:
    cuda, _, cudnn = text.partition("/")
    _toolkit(draft, cuda.strip().removeprefix("CUDA").strip())
    if cudnn:
        _version("cudnn.version")(draft, cudnn.strip().removeprefix("cuDNN").strip())


def _modes(name: str, convert: values.Convert) -> Take:
    def take(draft: Draft, text: str) -> None:
        gpus = [path for path in draft.paths() if re.fullmatch(r"gpu\[\d+\]\.name", path)] or ["gpu[0].name"]
        for path in gpus:
            _put(draft, f"{path.removesuffix('.name')}.{name}", values.read(text, convert, _SOURCE))

    return take


_KEYS: dict[tuple[str, ...], Take] = {
    ("pytorch version", "torch version", "torch", "pytorch", "torch.__version__", "pytorch-version"): _torch,
    ("is debug build",): _flag("torch.debug_build"),
    (
        "cuda used to build pytorch",
        "torch cuda version",
        "torch.version.cuda",
        "torch cuda",
        "pytorch cuda version",
        "torch built with cuda",
    ): _build("torch.cuda_build"),
    ("rocm used to build pytorch", "torch hip version", "torch.version.hip"): _build("torch.rocm_build"),
    ("os", "operating system", "os version"): _os,
    ("platform", "python platform", "platform name"): _platform,
    ("gcc version", "gcc", "gcc/compiler version"): _version("toolkit.gcc_version"),
    ("cmake version",): _version("toolkit.cmake_version"),
    ("libc version",): _text("os.libc"),
    ("kernel", "kernel version", "uname -r", "release"): _text("os.kernel"),
    ("python version", "python"): _version("python.version"),
    (
        "is cuda available",
        "cuda available",
        "torch.cuda.is_available",
        "torch cuda available",
        "pytorch cuda available",
    ): _flag("torch.cuda_available"),
    ("cuda runtime version", "nvcc version", "nvcc", "cuda toolkit", "cuda toolkit version"): _toolkit,
    ("cuda/cudnn version", "cuda / cudnn version"): _cuda_and_cudnn,
    ("cuda_module_loading set to",): _loading,
    (
        "nvidia driver version",
        "driver version",
        "nvidia driver",
        "driver",
        "gpu driver",
        "gpu driver version",
        "nvidia-driver",
    ): _driver,
    ("cudnn version", "cudnn"): _cudnn,
    ("caching allocator config", "pytorch_cuda_alloc_conf", "pytorch allocator config"): _allocator,
    ("torch.cuda.device_count", "device count", "number of gpus visible to torch"): _integer("torch.device_count"),
    ("nccl version", "torch.cuda.nccl.version"): _version("torch.nccl_version"),
    ("architecture",): _text("os.arch"),
    ("model name", "cpu model", "cpu"): _text("host.cpu_model"),
    ("cpus", "cpu count", "number of cpus"): _integer("host.cpu_count"),
    ("hypervisor vendor", "hypervisor"): _hypervisor,
    ("container", "docker", "container runtime", "docker image", "container image", "image"): _container,
    ("/dev/shm", "shm size", "shm", "shared memory", "shared memory /dev/shm size", "shared memory size"): _shm,
    ("memory limit", "container memory limit", "cgroup memory limit"): _limit,
    ("fabric manager", "fabricmanager", "nvidia-fabricmanager", "fabric manager version", "fabricmanager version"): (
        lambda draft, text: _put_fabric_manager(draft, text)
    ),
    ("mig mode", "mig"): _modes("mig_mode", values.on_or_off),
    ("compute mode",): _modes("compute_mode", values.compute_mode),
    ("virtualization mode", "gpu virtualization mode"): _modes("virtualization_mode", values.virtualization),
    ("compute capability", "cuda capability", "gpu compute capability"): _modes("compute_capability", values.words),
}
KEYS: dict[str, Take] = {name: take for names, take in _KEYS.items() for name in names}
GPU_KEYS = frozenset(
    {"gpu models and configuration", "gpu", "gpus", "gpu type", "gpu model", "gpu models", "gpu name", "graphics card"}
)
NOTE_KEYS = frozenset(
    {"other facts", "other", "notes", "note", "remark", "context", "setup", "observed", "observation"}
)
MESSAGE_KEYS = frozenset(
    {"observed message", "observed message short", "error", "error message", "message", "exception", "log"}
)


def _put_fabric_manager(draft: Draft, text: str) -> None:
    read_phrases(draft, f"fabric manager {text}")


def take_key(draft: Draft, key: str, text: str) -> bool:
    """Take a pair of a report; False for a key that stands for no fact."""
    take = KEYS.get(key)
    if take is not None:
        take(draft, text)
        return True
    name = key.removesuffix(" version").removesuffix("-version").strip()
    if normal_name(name) in KNOWN and (match := _VERSION.match(text)) is not None:
        put_package(draft, name, match[1].rstrip(","))
        return True
    return False

"""`nvidia-smi -q -x`: read as it comes, without entities, without external documents, within bounds."""

from __future__ import annotations

from xml.parsers import expat

from ilora_diag.collect.importers.draft import Draft
from ilora_diag.collect.importers.errors import ImportFactsError
from ilora_diag.collect.importers.smi_fields import Node, put_gpu
from ilora_diag.collect.importers.values import integer, read, words

MAX_CHARACTERS = 64 << 20
MAX_ELEMENTS = 1_000_000
MAX_DEPTH = 32
MAX_TEXT = 4096  # characters of an element; values are short
MAX_GPUS = 256
_SKIPPED = frozenset({"supported_clocks", "accounted_processes"})  # long, and nothing asks for them
_SOURCE = "nvidia-smi XML"
_REMEDY = "capture it again: nvidia-smi -q -x > FILE"


class SmiXml:
    """One document, fed in pieces.

    Raises (from `feed` and `close`):
        ImportFactsError: for a document that is cut in half, is no XML, declares entities or goes beyond the bounds.
    """

    kind = "nvidia_smi_xml"

    def __init__(self) -> None:
        self._parser = expat.ParserCreate()
        self._parser.buffer_text = True
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = self._data
        self._parser.EntityDeclHandler = self._entity
        self._parser.StartDoctypeDeclHandler = self._doctype
        self._root = Node("")
        self._open: list[Node] = [self._root]
        self._characters = self._elements = self._skipping = 0
        self.done = False

    @staticmethod
    def opens(line: str) -> bool:
        """Whether a document begins in this line."""
        return "<" in line and ("<?xml" in line or "<nvidia_smi_log" in line or "<!DOCTYPE nvidia_smi_log" in line)

    def feed(self, line: str) -> bool:
        """Take a line; False once the document has ended before it."""
        if self.done:
            return False
        if not self._characters:
            line = line[line.find("<") :]
        self._characters += len(line)
        if self._characters > MAX_CHARACTERS:
            raise ImportFactsError(f"the XML is longer than {MAX_CHARACTERS >> 20} MiB, no nvidia-smi writes that")
        end = line.find("</nvidia_smi_log>")
        piece = line if end < 0 else line[: end + len("</nvidia_smi_log>")]
        try:
            self._parser.Parse(piece, False)
        except expat.ExpatError as error:
            self._refuse_syntax(error)
        return True

    def close(self, draft: Draft) -> None:
        """Hand over what the document said."""
        if not self.done:
            inside = " > ".join(node.name for node in self._open[1:]) or "nothing yet"
            line = self._parser.CurrentLineNumber
            raise ImportFactsError(f"the XML is cut off at its line {line}, inside {inside}; {_REMEDY}")
        log = next((child for child in self._root.children if child.name == "nvidia_smi_log"), None)
        if log is None:
            name = self._root.children[0].name if self._root.children else "nothing"
            raise ImportFactsError(f"the XML holds {name[:40]}, not nvidia_smi_log; {_REMEDY}")
        draft.kind(self.kind)
        put_log(draft, log, _SOURCE)

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self._elements += 1
        if self._elements > MAX_ELEMENTS or len(self._open) > MAX_DEPTH:
            raise ImportFactsError(
                f"the XML has more than {MAX_ELEMENTS} elements or is nested deeper than {MAX_DEPTH}"
            )
        if self._skipping or name in _SKIPPED:
            self._skipping += 1
            return
        node = Node(name)
        if "id" in attributes:
            node.children.append(Node("id", attributes["id"]))
        self._open[-1].children.append(node)
        self._open.append(node)

    def _end(self, name: str) -> None:
        if self._skipping:
            self._skipping -= 1
            return
        self._open.pop()
        if len(self._open) == 1:
            self.done = True

    def _data(self, text: str) -> None:
        node = self._open[-1]
        if not self._skipping and text.strip() and len(node.text) < MAX_TEXT:
            node.text += text[:MAX_TEXT]

    def _doctype(self, _name: str, _system: str | None, _public: str | None, has_internal_subset: int) -> None:
        if has_internal_subset:
            raise ImportFactsError("the XML declares a document type of its own, which nvidia-smi never does")

    def _entity(self, *_declaration: object) -> None:
        raise ImportFactsError("the XML declares entities, which nvidia-smi never does")

    def _refuse_syntax(self, error: expat.ExpatError) -> None:
        raise ImportFactsError(f"the XML is broken at its line {error.lineno} ({error}); {_REMEDY}") from None


def put_log(draft: Draft, log: Node, source: str) -> None:
    """Everything a log says, from XML or text brought into its form."""
    part = Draft()
    _put_log(part, log, source)
    draft.add_all(part.facts())


def _put_log(draft: Draft, log: Node, source: str) -> None:
    places = (
        ("driver_version", "driver.version", words),
        ("cuda_version", "cuda.driver_version", words),
        ("cuda_umd_version", "cuda.driver_version", words),
        ("attached_gpus", "nvml.device_count", integer),
    )
    for name, path, convert in places:
        node = log.find(name)
        if node is not None and not node.children:
            draft.put(path, read(node.text, convert, f"{source} {name}"), f"{source} {name}")
    gpus = [child for child in log.children if child.name == "gpu"]
    for index, gpu in enumerate(gpus[:MAX_GPUS]):
        bus = gpu.find("id") or gpu.find("pci/pci_bus_id")
        if bus is not None:
            draft.put(f"gpu[{index}].bus_id", read(bus.text, words, f"{source} gpu id"), f"{source} gpu id")
        put_gpu(draft, f"gpu[{index}]", gpu, source)
    if len(gpus) > MAX_GPUS:
        draft.warn(f"{len(gpus) - MAX_GPUS} of {len(gpus)} devices were left out")
    attached = draft.get("nvml.device_count")
    if isinstance(attached, int) and attached != len(gpus):
        draft.warn(f"{source}: {attached} devices are attached, {len(gpus)} are described")

"""component.xml of the packaged core: IP-XACT, IEEE 1685-2014."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

__all__ = ["NAMESPACE", "Port", "axis_ports", "component_xml"]

NAMESPACE: Final = "http://www.accellera.org/XMLSchema/IPXACT/1685-2014"
_SCHEMA: Final = f"{NAMESPACE} {NAMESPACE}/index.xsd"
_XSI: Final = "http://www.w3.org/2001/XMLSchema-instance"
_AXIS: Final = {"vendor": "amba.com", "library": "AMBA4", "version": "r0p0_1"}
_LOGICAL: Final = ("TDATA", "TVALID", "TREADY", "TLAST")
_FILE_TYPES: Final = {".v": "verilogSource", ".vhd": "vhdlSource-93"}


@dataclass(frozen=True)
class Port:
    """A port of the packaged module; `bits` is 1 for a scalar."""

    name: str
    direction: str
    bits: int
    meaning: str

    @property
    def is_vector(self) -> bool:
        """TDATA is a vector even where it has one lane only."""
        return self.bits > 1


def axis_ports(bus_bytes: int) -> list[Port]:
    """The ports of ``NAME_axis``, in the order of rtl_templates/axis.v."""
    bits = 8 * bus_bytes
    return [
        Port("aclk", "in", 1, "clock"),
        Port("aresetn", "in", 1, "reset, active low, synchronous"),
        Port("s_axis_tdata", "in", bits, "features, lane 0 (low byte) first"),
        Port("s_axis_tvalid", "in", 1, ""),
        Port("s_axis_tready", "out", 1, ""),
        Port("s_axis_tlast", "in", 1, "with the last beat of a frame"),
        Port("m_axis_tdata", "out", bits, "result, lane 0 (low byte) first"),
        Port("m_axis_tvalid", "out", 1, ""),
        Port("m_axis_tready", "in", 1, ""),
        Port("m_axis_tlast", "out", 1, "with the last beat of a result"),
        Port("frame_error", "out", 1, "pulse: a frame of wrong length was dropped"),
    ]


def _add(
    parent: ElementTree.Element, tag: str, text: str | None = None, **attributes: str
) -> ElementTree.Element:
    element = ElementTree.SubElement(parent, f"{{{NAMESPACE}}}{tag}", attributes)
    element.text = text
    return element


def _bus(parent: ElementTree.Element, name: str, role: str) -> None:
    bus = _add(parent, "busInterface")
    _add(bus, "name", name)
    _add(bus, "busType", None, **_AXIS, name="AXI4Stream")
    kind = _add(_add(bus, "abstractionTypes"), "abstractionType")
    _add(kind, "abstractionRef", None, **_AXIS, name="AXI4Stream_rtl")
    maps = _add(kind, "portMaps")
    for logical in _LOGICAL:
        pair = _add(maps, "portMap")
        _add(_add(pair, "logicalPort"), "name", logical)
        _add(_add(pair, "physicalPort"), "name", f"{name}_{logical.lower()}")
    _add(bus, role)


def _model(root: ElementTree.Element, top: str, ports: Sequence[Port]) -> None:
    model = _add(root, "model")
    view = _add(_add(model, "views"), "view")
    _add(view, "name", "rtl")
    _add(view, "envIdentifier", "::")
    _add(view, "componentInstantiationRef", "verilog")
    made = _add(_add(model, "instantiations"), "componentInstantiation")
    _add(made, "name", "verilog")
    _add(made, "language", "verilog")
    _add(made, "moduleName", top)
    _add(_add(made, "fileSetRef"), "localName", "rtl")
    listed = _add(model, "ports")
    for port in ports:
        entry = _add(listed, "port")
        _add(entry, "name", port.name)
        if port.meaning:
            _add(entry, "description", port.meaning)
        wire = _add(entry, "wire")
        _add(wire, "direction", port.direction)
        if port.is_vector:
            vector = _add(_add(wire, "vectors"), "vector")
            _add(vector, "left", str(port.bits - 1))
            _add(vector, "right", "0")


def component_xml(
    *, name: str, version: str, top: str, ports: Sequence[Port], files: Sequence[str], about: str
) -> str:
    """The text of component.xml: `files` are relative to it, `top` is the module in them."""
    ElementTree.register_namespace("ipxact", NAMESPACE)
    ElementTree.register_namespace("xsi", _XSI)
    root = ElementTree.Element(f"{{{NAMESPACE}}}component")
    root.set(f"{{{_XSI}}}schemaLocation", _SCHEMA)
    for tag, text in (
        ("vendor", "gate2hw"),
        ("library", "models"),
        ("name", name),
        ("version", version),
    ):
        _add(root, tag, text)
    buses = _add(root, "busInterfaces")
    _bus(buses, "s_axis", "slave")
    _bus(buses, "m_axis", "master")
    _model(root, top, ports)
    listed = _add(_add(root, "fileSets"), "fileSet")
    _add(listed, "name", "rtl")
    for file in files:
        entry = _add(listed, "file")
        _add(entry, "name", file)
        _add(entry, "fileType", _FILE_TYPES[file[file.rindex(".") :]])
    _add(root, "description", about)
    ElementTree.indent(root)
    text = ElementTree.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{text}\n'

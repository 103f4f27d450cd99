"""Netlist to LutNetlist: covers by LUTs, searched for from several structures."""

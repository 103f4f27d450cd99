"""Netlist to Netlist: one pass a file, pipelines of them, a manager that distrusts them all."""

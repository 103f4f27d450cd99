"""Cell-library synthesis: area, timing, checks and power of the mapped netlist."""

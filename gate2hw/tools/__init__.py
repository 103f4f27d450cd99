"""External programs: the only room of gate2hw that starts processes.

Each module wraps one kind of tool, checks that its outputs exist and are complete, and returns a
frozen dataclass. No exit code is trusted on its own.
"""

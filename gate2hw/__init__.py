"""gate2hw: the compiler from trained logic gate networks to hardware."""

__version__ = "0.1.0"

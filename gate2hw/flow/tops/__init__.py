"""Board tops, bus wrappers and packages around a build, and what talks to them."""

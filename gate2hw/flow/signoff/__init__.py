"""The links of the chain of checks, and what shows their work."""

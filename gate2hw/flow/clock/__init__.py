"""Pipeline stages, routing, and the search that meets a clock."""

"""The page templates: Jinja, every text escaped, an unknown name is an error."""

from __future__ import annotations

from collections.abc import Callable
from importlib import resources
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined, Template

__all__ = ["page_template"]


def _source(name: str) -> str:
    return resources.files("gate2hw.report").joinpath(name).read_text(encoding="utf-8")


def page_template(name: str, **filters: Callable[..., Any]) -> Template:
    """The template `name` of this package, with `filters`."""
    environment = Environment(
        loader=FunctionLoader(_source),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(filters)
    return environment.get_template(name)

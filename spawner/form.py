"""The part of the spawn page that asks for a size: a card each, with what is in it and what it costs. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any, Final

from spawner.sizes import Size

__all__ = ["CHOOSE", "cards", "chosen"]

CHOOSE: Final = "choose"
"""Query argument of the spawn page that shows the cards to a person who has chosen before."""

_STYLE = """\
<style>
.ni-sizes { display: grid; grid-template-columns: repeat(auto-fit, minmax(13rem, 1fr)); gap: 1rem; border: 0; padding: 0;
  margin: 0; min-width: 0; }
.ni-size { position: relative; display: block; cursor: pointer; }
.ni-size input { position: absolute; opacity: 0; inset: 0; cursor: pointer; }
.ni-size .card { height: 100%; border-width: 2px; }
.ni-size:hover .card { border-color: var(--bs-secondary-color); }
.ni-size input:checked + .card { border-color: var(--bs-primary); }
.ni-size input:focus-visible + .card { outline: 3px solid var(--bs-primary); outline-offset: 2px; }
.ni-size .ni-mark { visibility: hidden; color: var(--bs-primary); }
.ni-size input:checked + .card .ni-mark { visibility: visible; }
.ni-size .ni-price { font-variant-numeric: tabular-nums; }
</style>
"""


def cards(sizes: Mapping[str, Size], selected: str) -> str:
    """HTML for the inside of the hub's spawn form: radio buttons, so that keyboards and screen readers know them."""
    if selected not in sizes:
        selected = next(iter(sizes), "")
    inside = "\n".join(_card(size, size.name == selected) for size in sizes.values())
    legend = '<legend class="visually-hidden">Size</legend>'
    return f'{_STYLE}<fieldset class="ni-sizes">{legend}\n{inside}\n</fieldset>'


def _card(size: Size, checked: bool) -> str:
    name = escape(size.name, quote=True)
    resources = "".join(f"<div>{escape(part)}</div>" for part in size.words().split(", "))
    about = f'<div class="text-body-secondary small mt-2">{escape(size.description)}</div>' if size.description else ""
    price = f'<div class="ni-price mt-3 fw-semibold">{escape(size.price())}</div>' if size.price() else ""
    return (
        f'<label class="ni-size"><input type="radio" name="size" value="{name}"{" checked" if checked else ""}>'
        '<div class="card"><div class="card-body">'
        f'<div class="d-flex justify-content-between"><h2 class="h5 card-title">{name.capitalize()}</h2>'
        '<span class="ni-mark" aria-hidden="true">&#10003;</span></div>'
        f"{resources}{price}{about}</div></div></label>"
    )


def chosen(formdata: Mapping[str, list[str]]) -> dict[str, Any]:
    """The options of a start, out of what the form, or a link with ``?size=``, sent. Others are nobody's business."""
    return {"size": formdata["size"][0]} if formdata.get("size") else {}

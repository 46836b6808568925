"""Messages as LINE's chat shows them, as HTML: texts, images, templates, quick replies, and Flex.

Drawn from LINE's "Flex Message elements" and "Flex Message layout"; a likeness for marketers, not to the pixel. Every
word is escaped; colours and sizes are let through only in the forms that LINE knows.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from markupsafe import Markup, escape

Json = Mapping[str, Any]

SIZES = {"xxs": 11, "xs": 13, "sm": 14, "md": 16, "lg": 19, "xl": 22, "xxl": 29, "3xl": 35, "4xl": 48, "5xl": 74}
GAPS = {"none": 0, "xs": 2, "sm": 4, "md": 8, "lg": 12, "xl": 16, "xxl": 20}
WIDTHS = {"nano": 120, "micro": 160, "deca": 220, "hecto": 241, "kilo": 260, "mega": 300, "giga": 320}
IMAGE_WIDTHS = {"xxs": 40, "xs": 60, "sm": 80, "md": 100, "lg": 120, "xl": 140, "xxl": 160, "3xl": 180, "4xl": 200}
_COLOUR = re.compile(r"#[0-9A-Fa-f]{6}([0-9A-Fa-f]{2})?")
_PIXELS = re.compile(r"\d{1,4}(\.\d+)?px|\d{1,3}(\.\d+)?%")
_RATIO = re.compile(r"(\d+(?:\.\d+)?):(\d+(?:\.\d+)?)")
_NUMBER = re.compile(r"\d{1,3}")


def chat(messages: Sequence[Json]) -> Markup:
    """The bubbles of one push, from top to bottom, and the quick replies of the last."""
    drawn = [_message(message) for message in messages]
    replies = [item.get("action", {}) for item in (messages[-1].get("quickReply") or {}).get("items", [])]
    if replies:
        buttons = Markup("").join(_tag("span", "chip", escape(action.get("label", ""))) for action in replies)
        drawn.append(_row("replies", buttons))
    return Markup("").join(drawn)


def _message(message: Json) -> Markup:
    kind = message.get("type")
    drawer = _MESSAGES.get(str(kind))
    return drawer(message) if drawer else _tag("div", "bubble", escape(message.get("altText") or kind or ""))


def _text_message(message: Json) -> Markup:
    return _tag("div", "bubble", _lines(str(message.get("text", ""))))


def _text_v2(message: Json) -> Markup:
    """LINE's emoji are drawn as one sign with their key: their pictures are LINE's."""
    pieces = re.split(r"(\{\{|\}\}|\{[0-9a-zA-Z_]{1,20}\})", str(message.get("text", "")))
    drawn = []
    for piece in pieces:
        if len(piece) > 2 and piece[0] == "{" and piece[-1] == "}":
            drawn.append(Markup('<span class="line-emoji" title="{}">☺</span>').format(piece[1:-1]))
        else:
            drawn.append(_lines({"{{": "{", "}}": "}"}.get(piece, piece)))
    return _tag("div", "bubble", Markup("").join(drawn))


def _image_message(message: Json) -> Markup:
    return _tag("div", "picture", _image(str(message.get("previewImageUrl", "")), ""))


def _video(message: Json) -> Markup:
    return _tag("div", "picture video", _image(str(message.get("previewImageUrl", "")), ""))


def _imagemap(message: Json) -> Markup:
    """The picture as a phone fetches it, with the areas to tap outlined, which LINE's chat doesn't do."""
    size = message.get("baseSize") or {}
    height = size.get("height")
    width, tall = 1040, height if isinstance(height, int) and height > 0 else 1040
    areas = Markup("")
    for number, action in enumerate(message.get("actions", []), 1):
        area = action.get("area") or {}
        wholes = {"x": ("left", width), "y": ("top", tall), "width": ("width", width), "height": ("height", tall)}
        placed = [
            f"{style}:{side / whole:.2%}"
            for name, (style, whole) in wholes.items()
            if isinstance(side := area.get(name), int)
        ]
        areas += _tag("span", "area", escape(number), *placed)
    picture = _image(
        f"{message.get('baseUrl', '')}/1040", str(message.get("altText", "")), f"aspect-ratio:{width}/{tall}"
    )
    return _tag("div", "picture imagemap", picture + areas)


def _coupon(message: Json) -> Markup:
    ticket = Markup('<span aria-hidden="true">🎫</span> ') + escape(message.get("couponId", ""))
    return _tag("div", "card-of-template coupon", ticket)


def _flex_message(message: Json) -> Markup:
    return flex(message.get("contents") or {})


def _template_message(message: Json) -> Markup:
    template = message.get("template") or {}
    if template.get("type") == "confirm":
        actions = Markup("").join(
            _tag("span", "link", escape(one.get("label", ""))) for one in template.get("actions", [])
        )
        words = _tag("p", "", _lines(str(template.get("text", ""))))
        return _tag("div", "card-of-template", words + _tag("div", "answers", actions))
    columns = template.get("columns") or [template]
    cards = Markup("").join(_column(column) for column in columns)
    kind = "pictures" if template.get("type") == "image_carousel" else ""
    return _row(f"carousel {kind}", cards) if len(columns) > 1 else _tag("div", f"single {kind}", cards)


_MESSAGES: dict[str, Callable[[Json], Markup]] = {
    "text": _text_message,
    "textV2": _text_v2,
    "image": _image_message,
    "imagemap": _imagemap,
    "video": _video,
    "flex": _flex_message,
    "template": _template_message,
    "coupon": _coupon,
}


def _column(column: Json) -> Markup:
    url = column.get("thumbnailImageUrl") or column.get("imageUrl")
    parts = [_image(str(url), "") if url else Markup("")]
    if column.get("title"):
        parts.append(_tag("b", "", escape(column["title"])))
    if column.get("text"):
        parts.append(_tag("p", "", _lines(str(column["text"]))))
    actions = column.get("actions") or ([column["action"]] if column.get("action") else [])
    parts += [_tag("span", "link", escape(action.get("label", ""))) for action in actions]
    return _tag("div", "card-of-template", Markup("").join(parts))


def flex(contents: Json) -> Markup:
    """A Flex container: a bubble, or a carousel of them."""
    if contents.get("type") == "carousel":
        return _row("carousel", Markup("").join(_bubble(one) for one in contents.get("contents", [])))
    return _bubble(contents)


def _bubble(bubble: Json) -> Markup:
    parts = []
    for block in ("header", "hero", "body", "footer"):
        if bubble.get(block):
            styles = (bubble.get("styles") or {}).get(block) or {}
            colour = _colour("background-color", styles.get("backgroundColor"))
            inside = _component(bubble[block], "vertical")
            parts.append(_tag("div", f"flex-{block}", inside, colour))
    width = WIDTHS.get(bubble.get("size", "mega"), WIDTHS["mega"])
    return _tag("div", "flex-bubble", Markup("").join(parts), f"width:{width}px")


def _component(part: Json, layout: str) -> Markup:
    drawer = _DRAWERS.get(str(part.get("type")))
    return drawer(part, layout) if drawer else Markup("")


def _box(part: Json, layout: str) -> Markup:
    inner = str(part.get("layout", "vertical"))
    is_row = inner in ("horizontal", "baseline")
    styles = [
        "display:flex",
        f"flex-direction:{'row' if is_row else 'column'}",
        "align-items:baseline" if inner == "baseline" else "",
        _gap("gap", part.get("spacing")),
        _gap("padding", part.get("paddingAll")),
        _gap("border-radius", part.get("cornerRadius")),
        _colour("background-color", part.get("backgroundColor")),
        _colour("border-color", part.get("borderColor")),
        "border-style:solid;border-width:1px" if part.get("borderWidth") else "",
        _pixels("width", part.get("width")),
        _pixels("height", part.get("height")),
        *_placed(part, layout),
    ]
    inside = Markup("").join(_component(one, inner) for one in part.get("contents", []))
    return _tag("div", "", inside, *styles)


def _text(part: Json, layout: str) -> Markup:
    spans = part.get("contents")
    inside = Markup("").join(_span(one) for one in spans) if spans else _lines(str(part.get("text", "")))
    wraps = "white-space:pre-wrap;overflow-wrap:anywhere" if part.get("wrap") else "white-space:nowrap"
    hides = "" if part.get("wrap") else "overflow:hidden;text-overflow:ellipsis"
    return _tag("div", "", inside, *_written(part), wraps, hides, "min-width:0", *_placed(part, layout))


def _span(part: Json) -> Markup:
    return _tag("span", "", _lines(str(part.get("text", ""))), *_written(part))


def _written(part: Json) -> list[str]:
    size = SIZES.get(str(part.get("size", "md")))
    align = {"start": "left", "center": "center", "end": "right"}.get(str(part.get("align")), "")
    decoration = {"underline": "underline", "line-through": "line-through"}.get(str(part.get("decoration")), "")
    return [
        f"font-size:{size}px" if size else _pixels("font-size", part.get("size")),
        "font-weight:700" if part.get("weight") == "bold" else "",
        "font-style:italic" if part.get("style") == "italic" else "",
        f"text-align:{align}" if align else "",
        f"text-decoration:{decoration}" if decoration else "",
        _colour("color", part.get("color")),
    ]


def _button(part: Json, layout: str) -> Markup:
    style, colour = part.get("style", "link"), part.get("color")
    label = escape((part.get("action") or {}).get("label", ""))
    paint = _colour("color" if style == "link" else "background-color", colour)
    return _tag(
        "div",
        f"flex-button {style if style in ('primary', 'secondary') else 'link'}",
        label,
        paint,
        *_placed(part, layout),
    )


def _picture(part: Json, layout: str) -> Markup:
    size = str(part.get("size", "md"))
    width = "width:100%" if size == "full" else _pixels("width", size) or f"width:{IMAGE_WIDTHS.get(size, 100)}px"
    ratio = _RATIO.fullmatch(str(part.get("aspectRatio", "1:1")))
    shape = f"aspect-ratio:{ratio[1]}/{ratio[2]}" if ratio else ""
    fit = "object-fit:cover" if part.get("aspectMode") == "cover" else "object-fit:contain"
    return _tag("div", "flex-image", _image(str(part.get("url", "")), "", width, shape, fit), *_placed(part, layout))


def _icon(part: Json, layout: str) -> Markup:
    size = SIZES.get(str(part.get("size", "md")), 16)
    return _tag(
        "span", "", _image(str(part.get("url", "")), "", f"width:{size}px;height:{size}px"), *_placed(part, layout)
    )


def _separator(part: Json, layout: str) -> Markup:
    return _tag("div", f"flex-separator {'down' if layout == 'horizontal' else ''}", Markup(""), *_placed(part, layout))


def _filler(part: Json, layout: str) -> Markup:
    return _tag("div", "", Markup(""), "flex:1", *_placed(part, layout))


_DRAWERS: dict[str, Callable[[Json, str], Markup]] = {
    "box": _box,
    "text": _text,
    "button": _button,
    "image": _picture,
    "icon": _icon,
    "separator": _separator,
    "filler": _filler,
    "spacer": _filler,
}


def _placed(part: Json, layout: str) -> list[str]:
    """How a component stands in its box: its share of it, and its distance from the one before."""
    share = part.get("flex")
    if share is None:
        share = 0 if layout in ("vertical", "baseline") and part.get("type") != "text" else 1
        share = 0 if layout == "vertical" else share
    flexed = f"flex:{share} {'1' if share else '0'} {'0' if share else 'auto'}" if _NUMBER.fullmatch(str(share)) else ""
    side = "margin-top" if layout == "vertical" else "margin-left"
    return [flexed if layout != "vertical" or part.get("flex") else "", _gap(side, part.get("margin"))]


def _gap(name: str, value: Any) -> str:
    if value in GAPS:
        return f"{name}:{GAPS[value]}px"
    return _pixels(name, value)


def _pixels(name: str, value: Any) -> str:
    return f"{name}:{value}" if isinstance(value, str) and _PIXELS.fullmatch(value) else ""


def _colour(name: str, value: Any) -> str:
    return f"{name}:{value}" if isinstance(value, str) and _COLOUR.fullmatch(value) else ""


def _image(url: str, words: str, *styles: str) -> Markup:
    if not url.startswith("https://"):
        return _tag("span", "no-picture", Markup("🖼"))
    style = ";".join(filter(None, styles))
    return Markup('<img src="{}" alt="{}" style="{}" loading="lazy" referrerpolicy="no-referrer">').format(
        url, words, style
    )


def _lines(text: str) -> Markup:
    return Markup("<br>").join(escape(line) for line in text.split("\n"))


def _row(kind: str, inside: Markup) -> Markup:
    """What is moved sideways, by keyboard too."""
    return Markup('<div class="{}" tabindex="0">{}</div>').format(kind, inside)


def _tag(name: str, kind: str, inside: Markup, *styles: str) -> Markup:
    style = ";".join(filter(None, styles))
    frame = Markup(f'<{name} class="{{}}" style="{{}}">{{}}</{name}>')  # noqa: S704 - `name` is written in this file
    return frame.format(kind, style, inside)

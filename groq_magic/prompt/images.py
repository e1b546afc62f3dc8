"""Images as URLs for a message: from files, bytes, figures and addresses.

The limits are the API's, https://console.groq.com/docs/vision
"""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from io import BytesIO
from os import PathLike
from pathlib import Path
from typing import Any

from groq_magic.errors import InputError

_MOST_IMAGES = {"qwen/qwen3.8-27b": 3}
_MOST_IMAGES_ELSE = 5
MOST_CHARACTERS = 4 * 1024 * 1024
"""Of all images in one request, as base64."""
_OURS = r"data:image/(png|jpeg|gif|webp);base64,[A-Za-z0-9+/]*={0,2}|https://[!-~]+"
_REMOTE = ("https://", "http://", "data:image/")


def image_url(image: object) -> str:
    """The URL of an image: a path, an address, bytes, a figure, or what displays as PNG or JPEG.

    An address stays as it is, since the server fetches it. Anything else becomes a ``data:``
    URL. Raises `InputError` for anything that is not an image the API accepts.

    >>> image_url(b"GIF89a")
    'data:image/gif;base64,R0lGODlh'
    """
    if isinstance(image, str) and image.startswith(_REMOTE):
        return image
    if isinstance(image, str | PathLike):
        return _data_url(_read(Path(image)), str(image))
    name = f"An image given as {type(image).__name__}"
    if isinstance(image, bytes | bytearray):
        return _data_url(bytes(image), name)
    try:
        drawn = drawing(image)
    except Exception as error:
        raise InputError(f"{name} cannot be drawn: {' '.join(str(error).split())}") from None
    if drawn is None:
        raise InputError(f"{name} cannot be displayed as PNG or JPEG.")
    return _data_url(drawn, name)


def drawing(value: object) -> bytes | None:
    """PNG or JPEG of a value that displays as one, such as a figure; else None."""
    kind: Any = type(value)  # an instance may have a ``__getattr__`` that accepts any name
    for name in ("_repr_png_", "_repr_jpeg_"):
        if hasattr(kind, name) and (drawn := pixels(getattr(value, name)())):
            return drawn
    if hasattr(kind, "savefig"):  # a figure of matplotlib
        file = BytesIO()
        kind.savefig(value, file, format="png")
        return file.getvalue()
    return None


def pixels(shown: Any) -> bytes | None:
    """The bytes that a ``_repr_png_`` returns: plain, in base64, or with metadata.

    https://ipython.readthedocs.io/en/stable/config/integrating.html#rich-display
    """
    data = shown[0] if isinstance(shown, tuple) else shown
    return b64decode(data) if isinstance(data, str) else data


def most_images(model: str) -> int:
    """How many images one request to the model can have.

    >>> most_images("qwen/qwen3.8-27b")
    3
    """
    return _MOST_IMAGES.get(model, _MOST_IMAGES_ELSE)


def check_images(urls: Sequence[str], model: str) -> None:
    """Raise `InputError` for too many or too large images for one request to the model."""
    given, most = len(urls), most_images(model)
    if given > most:
        raise InputError(f"{given} images: {model} takes {most} in a request. Leave some out.")
    if (size := encoded_size(urls)) > MOST_CHARACTERS:
        raise InputError(
            f"The images have {size / 2**20:.1f} MB as base64: the API takes "
            f"{MOST_CHARACTERS // 2**20} MB. Make them smaller, or give their addresses."
        )


def encoded_size(urls: Iterable[str]) -> int:
    """The characters of all ``data:`` URLs."""
    return sum(len(url) for url in urls if url.startswith("data:"))


def is_ours(url: str) -> bool:
    """Whether `image_url` could have made the URL.

    >>> is_ours("data:image/png;base64,iVBO"), is_ours("data:image/svg+xml,<svg>")
    (True, False)
    """
    return re.fullmatch(_OURS, url) is not None


def _read(given: Path) -> bytes:
    try:
        path = given.expanduser()
        if (size := path.stat().st_size) <= MOST_CHARACTERS:
            return path.read_bytes()
    except FileNotFoundError:
        raise InputError(f"There is no file {given}.{_similar(path)}") from None
    except OSError as error:
        raise InputError(f"Cannot read {given}: {error.strerror}.") from None
    except (RuntimeError, ValueError) as error:  # an unknown user's home, NUL in the name
        raise InputError(f"Cannot read {str(given)!r}: {error}") from None
    size_and_limit = f"{size / 2**20:.1f} MB: the API takes {MOST_CHARACTERS // 2**20} MB"
    raise InputError(f"{given} has {size_and_limit}. Make it smaller, or give its address.")


def _similar(path: Path) -> str:
    try:
        near = get_close_matches(path.name, [other.name for other in path.parent.iterdir()])
    except OSError:
        return ""
    return f" Similar names: {', '.join(near)}." if near else ""


def _data_url(data: bytes, name: str) -> str:
    return f"data:{_mime_type(data, name)};base64,{b64encode(data).decode()}"


def _mime_type(data: bytes, name: str) -> str:
    """The type by the first bytes.

    https://mimesniff.spec.whatwg.org/#matching-an-image-type-pattern
    """
    for head, mime_type in _HEADS.items():
        if data.startswith(head):
            return mime_type
    if data.startswith(b"RIFF") and data[8:14] == b"WEBPVP":
        return "image/webp"
    raise InputError(f"{name} is not a PNG, JPEG, GIF or WebP image.")


_HEADS = {
    b"\x89PNG\r\n\x1a\n": "image/png",
    b"\xff\xd8\xff": "image/jpeg",
    b"GIF87a": "image/gif",
    b"GIF89a": "image/gif",
}

"""The marketers' pages: one file = one menu entry. Reads only; nothing here changes a row."""

from console.access import require_access
from console.pages import create_console

__all__ = ["create_console", "require_access"]

"""What the command line needs beside the public API. It may change in any version.

What there is stands in `internals.pyi` and is imported on first use.
"""

from lazy_loader import attach_stub

__getattr__, __dir__, __all__ = attach_stub("tscli", __file__)

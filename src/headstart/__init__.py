"""headstart: transfer learning that proves it paid."""

__version__ = "0.1.0"

"""The service: REST in front of a batching inference worker."""

from importlib.metadata import version

__version__ = version("vitrine")

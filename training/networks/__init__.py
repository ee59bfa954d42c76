"""The networks: one file each, a frozen config and a module."""

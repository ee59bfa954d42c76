"""The edits on files instead of requests: `vitrine enhance|restyle|compose|generate`, and `vitrine preset check`."""

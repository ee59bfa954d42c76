"""Measurements of the service, of its peers, and of what the machine could do at best."""

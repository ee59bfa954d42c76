"""The same work behind other servers, each started as its own manual recommends."""

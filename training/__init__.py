"""The offline half of Vitrine: curate photos, train networks, evaluate them, export them to `models/`."""

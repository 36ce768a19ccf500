"""Model versions: stored by digest, described by a manifest, signed, found again by alias."""

"""Reference plugins, one mission each. They use the public names only, and nobody imports them."""

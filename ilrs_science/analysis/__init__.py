"""Cubes in notebooks: the accessor, pictures, and simple derived maps."""

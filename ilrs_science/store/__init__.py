"""The cube and its records in storage; the only room that uses zarr."""

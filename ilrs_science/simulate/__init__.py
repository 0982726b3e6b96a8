"""Writers of raw files in their true formats, with the truth beside them."""

"""What there is: sites, and raw files indexed into granules."""

from ilrs_science.catalog.completing import hashed
from ilrs_science.catalog.events import good_of
from ilrs_science.catalog.indexing import index_granule, rejected_counts
from ilrs_science.catalog.inventory import inventory
from ilrs_science.catalog.sites import SiteEntry, data_folder, sites
from ilrs_science.catalog.table import Inventory, Rejection
from ilrs_science.catalog.times import sample_times, with_times

__all__ = [
    "Inventory",
    "Rejection",
    "SiteEntry",
    "data_folder",
    "good_of",
    "hashed",
    "index_granule",
    "inventory",
    "rejected_counts",
    "sample_times",
    "sites",
    "with_times",
]

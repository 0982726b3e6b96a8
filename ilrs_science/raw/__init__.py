"""The one door to raw bytes: local, remote, in an archive or packed; what cannot be opened or read is an outage."""

from ilrs_science.raw.digests import sha256_of
from ilrs_science.raw.fetching import beside, fetched, is_remote, labels_of, name_in
from ilrs_science.raw.packing import is_gzip, plain_name
from ilrs_science.raw.reading import local, outages, read_bytes, unpacked

__all__ = [
    "beside",
    "fetched",
    "is_gzip",
    "is_remote",
    "labels_of",
    "local",
    "name_in",
    "outages",
    "plain_name",
    "read_bytes",
    "sha256_of",
    "unpacked",
]

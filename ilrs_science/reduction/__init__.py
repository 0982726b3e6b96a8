"""One part: read, calibrate, place, check, write; from the part alone, in whatever process."""

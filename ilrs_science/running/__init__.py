"""Parts done on an executor, from the lease of a cube to the report; what is done, verified and repaired."""

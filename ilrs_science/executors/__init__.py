"""One function over many items, a bounded number of them under way: serial, threads, processes or a Dask cluster."""

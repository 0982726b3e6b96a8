"""From a pipeline to a cube: plan, worker, run; the only room that talks to a Dask cluster."""

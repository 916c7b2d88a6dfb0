"""`make bench`: the benchmarks that need no peer."""

from bench import against_mlflow, build_times, footprint, full_path, micro, overhead

for benchmark in (against_mlflow, overhead, micro, full_path, footprint, build_times):
    print(f"== {benchmark.__name__}: {(benchmark.__doc__ or '').splitlines()[0]}", flush=True)
    benchmark.main()

"""The values of an endpoint's time series: histograms of latencies, and points that can be added up."""

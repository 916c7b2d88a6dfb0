"""An endpoint's overview: one sentence of diagnosis, where a request's time goes, and the charts."""

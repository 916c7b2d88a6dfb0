"""Tests of the worker, which runs inside the models' environments. The folders mirror the rooms of `tidegate_worker`.

Besides the tests that need a whole replica, the files here are what the tests share:

- Models: `zoo` (row-wise ones and others, each of another kind), `accidents` (not row-wise by a mistake that people
make),
  `echo` (returns its input, described exactly), `probe` (does what its input says, in a replica).
- Requests: `signatures`, `forms` (the same rows in each form), `mutations` (payloads with one mistake).
- A worker at three scales: `queues` (a batcher with a queue, no process), `replica` and `template` (real processes),
  `nursery` (many replicas with little memory).
- `plain_checks` runs under each Python from 3.8 on, without packages.
"""

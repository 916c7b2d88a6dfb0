"""Request bodies into the input of a pyfunc model, by its signature, as MLflow's scoring server reads them.

Read `signature`, then `decoder` (the forms of a body), `table` (a table before any type), `columns`, `column_fit` and
`datetimes` (its values in the signature's types) and `tensors`. `mlflow1` puts older forms into those that MLflow 2
reads.

Here each value is checked. `fast.parser` may skip this room only for bodies that it reads to the same values.
"""

"""The compiled path: a parser and a layout made from the signature, used where its answers are the stock path's."""

"""The dashboard: HTML pages over control's verbs and the series, for people with a browser.

A page is a template (`templates/`), a view function and a view model (`pages/`). It calls what the REST API calls too,
and the `Series`; nothing here reads the store, the registry or the engine. Text from outside, such as names, tags, logs
and answers of models, reaches a page only through Jinja's escaping.
"""

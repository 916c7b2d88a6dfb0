"""The REST API: the routes to control's verbs, and the JSON that is read and written. It decides and keeps nothing."""

"""The REST API: routes to control's verbs, and the public JSON. It decides nothing and keeps nothing."""
